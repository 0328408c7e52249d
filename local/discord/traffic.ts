// When events happen: so many a second, evenly. Every few milliseconds it makes what is due by then, so the rate holds
// however coarse the timers are; after a pause it catches up on five seconds at most.

const LOOK_EVERY_MS = 4;
/** In one turn of the event loop; the rest follows in the next ones. */
const MOST_AT_ONCE = 1_000;
const MOST_DEBT_S = 5;

/**
 * @param rate events a second
 * @returns stops it
 */
export function startTraffic(rate: number, make: () => void): () => void {
  let made = 0;
  let timer: NodeJS.Timeout;
  const from = performance.now();
  const look = () => {
    const due = Math.floor(((performance.now() - from) / 1_000) * rate);
    made = Math.max(made, due - Math.ceil(rate * MOST_DEBT_S));
    const wanted = Math.min(due - made, MOST_AT_ONCE);
    for (let n = 0; n < wanted; n += 1) make();
    made += wanted;
    timer = setTimeout(look, wanted === MOST_AT_ONCE ? 0 : LOOK_EVERY_MS);
  };
  look();
  return () => clearTimeout(timer);
}
