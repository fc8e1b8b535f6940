import { expect, test } from 'vitest';

test('beside the crash', () => {
  expect(1 + 1).toBe(2);
});

test('crashes', () => {
  process.kill(process.pid, 'SIGKILL');
});
