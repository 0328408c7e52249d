// When events happen: so many a second, evenly, and bursts on top. It looks at the clock every few milliseconds and makes
// what is due by then, so that the rate holds however coarse the timers are; after a pause it catches up on five seconds
// at most.

const LOOK_EVERY_MS = 4;
/** In one go; the rest follows after others had their turn. */
const MOST_AT_ONCE = 1_000;
const MOST_DEBT_S = 5;

export class Traffic {
  readonly #make: () => void;
  readonly #rate: number;
  readonly #bursts: { readonly events: number; readonly everyMs: number } | undefined;
  #from = 0;
  #made = 0;
  #owed = 0;
  #timer: NodeJS.Timeout | undefined;
  #burstTimer: NodeJS.Timeout | undefined;

  /** @param rate events a second */
  constructor(rate: number, bursts: { events: number; everyMs: number } | undefined, make: () => void) {
    this.#rate = rate;
    this.#bursts = bursts;
    this.#make = make;
  }

  start(): void {
    this.#from = performance.now();
    this.#look();
    if (this.#bursts === undefined) return;
    const { events, everyMs } = this.#bursts;
    this.#burstTimer = setInterval(() => {
      this.#owed += events;
    }, everyMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#burstTimer);
  }

  #look(): void {
    const elapsedS = (performance.now() - this.#from) / 1_000;
    const due = Math.floor(elapsedS * this.#rate) - this.#made;
    const tooMuch = due - Math.ceil(this.#rate * MOST_DEBT_S);
    if (tooMuch > 0) this.#made += tooMuch;
    const wanted = Math.min(due - Math.max(tooMuch, 0) + this.#owed, MOST_AT_ONCE);
    for (let n = 0; n < wanted; n += 1) {
      if (this.#owed > 0) this.#owed -= 1;
      else this.#made += 1;
      this.#make();
    }
    this.#timer = setTimeout(() => this.#look(), wanted === MOST_AT_ONCE ? 0 : LOOK_EVERY_MS);
  }
}
