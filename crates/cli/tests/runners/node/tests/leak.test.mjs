import { spawn } from 'node:child_process';
import assert from 'node:assert/strict';
import { test } from 'node:test';

test('beside the leak', () => {
  assert.equal(1 + 1, 2);
});

test('leaks a process', () => {
  spawn('sleep', ['300'], { detached: true, stdio: 'ignore' }).unref();
});
