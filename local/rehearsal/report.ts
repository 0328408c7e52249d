// The record of a rehearsal: its steps with their times, what was skipped, and the verdict. Pure but for the clock.
import { errorMessage } from '../../service/errors.ts';
import type { Verdict } from '../verdict.ts';

export interface Step {
  readonly name: string;
  readonly result: 'held' | 'failed' | 'skipped';
  readonly seconds: number;
  readonly detail: string;
}

export interface Report {
  readonly held: boolean;
  readonly steps: readonly Step[];
  /** Differences between the containers and functions here and those on AWS. */
  readonly deviations: readonly string[];
  /** None where no task was run. */
  readonly verdict: Pick<Verdict, 'due' | 'lost' | 'repeated' | 'gaps' | 'disorders'> | null;
  readonly seconds: number;
}

export class Recorder {
  readonly steps: Step[] = [];
  readonly deviations: string[] = [];
  verdict: Verdict | undefined;
  readonly #started = performance.now();
  readonly #line: (line: string) => void;

  /** @param line receives each step as it ends */
  constructor(line: (line: string) => void) {
    this.#line = line;
  }

  /** @param act resolves with what is worth knowing of it @throws what the act throws, once it is recorded */
  async step(name: string, act: () => Promise<string>): Promise<void> {
    const started = performance.now();
    try {
      const detail = await act();
      this.#add({ name, result: 'held', seconds: seconds(started), detail });
    } catch (error) {
      this.#add({ name, result: 'failed', seconds: seconds(started), detail: errorMessage(error) });
      throw error;
    }
  }

  skip(name: string, because: string): void {
    this.#add({ name, result: 'skipped', seconds: 0, detail: because });
  }

  report(): Report {
    const { steps, deviations } = this;
    const { due = 0, lost = 0, repeated = 0, gaps = 0, disorders = 0 } = this.verdict ?? {};
    const verdict = this.verdict ? { due, lost, repeated, gaps, disorders } : null;
    return { held: holds(steps, verdict), steps, deviations, verdict, seconds: seconds(this.#started) };
  }

  #add(step: Step): void {
    this.steps.push(step);
    this.#line(row(step));
  }
}

/** What was skipped is no failure; what was lost is, and so is a rehearsal of nothing. */
export function holds(steps: readonly Step[], verdict: Report['verdict']): boolean {
  const bad = verdict ? verdict.lost + verdict.gaps + verdict.disorders : 0;
  return bad === 0 && steps.some(({ result }) => result === 'held') && steps.every(({ result }) => result !== 'failed');
}

export function table({ steps, deviations, verdict, seconds: total }: Report): string[] {
  const count = (result: Step['result']): number => steps.filter((step) => step.result === result).length;
  const counts = `${count('held')} steps held, ${count('failed')} failed, ${count('skipped')} skipped in ${total} s`;
  const events = verdict
    ? `${verdict.due} events, ${verdict.lost} lost, ${verdict.repeated} repeated, ${verdict.disorders} out of order, ${verdict.gaps} gaps`
    : 'no events: no task was run';
  return [
    ...steps.map(row),
    ...(deviations.length > 0 ? ['Different from AWS:', ...deviations.map((each) => `  - ${each}`)] : []),
    `${counts}; ${events}`,
  ];
}

function row({ name, result, seconds: took, detail }: Step): string {
  return `${result.padEnd(9)}${took.toFixed(1).padStart(6)} s  ${name.padEnd(34)}  ${detail}`.trimEnd();
}

function seconds(started: number): number {
  return Math.round((performance.now() - started) / 100) / 10;
}
