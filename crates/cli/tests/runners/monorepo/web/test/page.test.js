import assert from "node:assert/strict";
import { describe, test } from "node:test";

test("renders", () => {
  assert.equal(`<b>${2 + 2}</b>`, "<b>4</b>");
});

describe("total", () => {
  test("expects four", () => {
    const got = 2 + 3;
    assert.ok(got === 4, `expected 4, got ${got}`);
  });
});

test("over the network", { skip: "needs a server" }, () => {
  throw new Error("never run");
});
