import { expect, test } from 'vitest';

test('beside the hang', () => {
  expect(1 + 1).toBe(2);
});

test('hangs', () => {
  for (;;);
}, 0);
