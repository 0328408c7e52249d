// Waiting that ends: for a promise, or for a condition that can only be asked again.

const POLL_MS = 50;

/** Whether the promise settled in time. It may still settle later. */
export async function within(milliseconds: number, promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, milliseconds, false);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Asks until there is an answer other than undefined.
 * @throws what `question` throws, and `late()` when the time is over
 */
export async function ask<T>(
  milliseconds: number,
  question: () => Promise<T | undefined>,
  late: () => Error,
): Promise<T> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const answer = await question();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw late();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
