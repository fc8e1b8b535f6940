import assert from 'node:assert/strict';
import { test } from 'node:test';

test('beside the hang', () => {
  assert.equal(1 + 1, 2);
});

test('hangs', () => {
  for (;;);
});
