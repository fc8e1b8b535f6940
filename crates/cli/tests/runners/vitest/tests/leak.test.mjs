import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';

test('beside the leak', () => {
  expect(1 + 1).toBe(2);
});

test('leaks a process', () => {
  spawn('sleep', ['300'], { detached: true, stdio: 'ignore' }).unref();
});
