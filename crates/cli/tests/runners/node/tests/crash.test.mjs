import assert from 'node:assert/strict';
import { test } from 'node:test';

test('beside the crash', () => {
  assert.equal(1 + 1, 2);
});

test('crashes', () => {
  process.kill(process.pid, 'SIGKILL');
});
