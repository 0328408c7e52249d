// The service's log with its lines kept, and waiting for one of them or for any other condition.

import { setTimeout as sleep } from 'node:timers/promises';
import { createLog, type RedactedLog } from '../../service/log.ts';

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface LogLines extends RedactedLog {
  readonly lines: LogLine[];
  /** All that was written, as it was written. */
  readonly text: string;
  /** Resolves with the first line whose message has this text, also one written before. */
  line(text: string, deadlineMs?: number): Promise<LogLine>;
}

export function logLines(level = 'debug'): LogLines {
  const lines: LogLine[] = [];
  let text = '';
  const write = (line: string) => {
    text += line;
    lines.push(JSON.parse(line) as LogLine);
  };
  return {
    ...createLog({ level }, { write }),
    lines,
    get text() {
      return text;
    },
    line(wanted, deadlineMs) {
      return eventually(`a log line '${wanted}'`, () => lines.find(({ msg }) => msg.includes(wanted)), deadlineMs);
    },
  };
}

/** Polls until the condition is true. @returns its value @throws after the deadline */
export async function eventually<T>(
  what: string,
  condition: () => T | false | undefined | Promise<T | false | undefined>,
  deadlineMs = 20_000,
  everyMs = 10,
): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  while (true) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs / 1_000} s: ${what}`);
    await sleep(everyMs);
  }
}
