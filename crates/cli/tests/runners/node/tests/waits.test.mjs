import assert from 'node:assert/strict';
import { test } from 'node:test';

test('beside the wait', () => {
  assert.equal(1 + 1, 2);
});

test('waits for ever', async () => {
  // The timer keeps the process alive; the promise never settles.
  setInterval(() => {}, 1000);
  await new Promise(() => {});
});
