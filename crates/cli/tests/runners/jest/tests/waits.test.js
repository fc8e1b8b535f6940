test('beside the wait', () => {
  expect(1 + 1).toBe(2);
});

test('waits for ever', async () => {
  // The timer keeps the process alive; the promise never settles.
  setInterval(() => {}, 1000);
  await new Promise(() => {});
}, 600000);
