// The service's log as a test reads it: the same log, its lines kept. What is waited for is a line or any condition
// that a line or an event may make true; a deadline ends the wait and says what there was.

import { setTimeout as sleep } from 'node:timers/promises';
import { createLog, type RedactedLog } from '../../service/log.ts';

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface LogLines extends RedactedLog {
  readonly lines: readonly LogLine[];
  /** All that was written, as it was written. */
  readonly text: string;
  /** Resolves with the first line whose message has this text, also one written before. */
  line(text: string, deadlineMs?: number): Promise<LogLine>;
}

export function logLines(level = 'debug'): LogLines {
  const lines: LogLine[] = [];
  let text = '';
  const created = createLog(
    { level },
    {
      write(line: string) {
        text += line;
        lines.push(JSON.parse(line) as LogLine);
      },
    },
  );
  return {
    ...created,
    lines,
    get text() {
      return text;
    },
    async line(wanted, deadlineMs) {
      const find = () => lines.find(({ msg }) => msg.includes(wanted));
      await eventually(`a log line '${wanted}'`, find, deadlineMs);
      const found = find();
      if (found === undefined) throw new Error('it was there');
      return found;
    },
  };
}

/** For what shows itself only by asking. @throws after the deadline */
export async function eventually<T>(
  what: string,
  condition: () => T | false | undefined | Promise<T | false | undefined>,
  deadlineMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  while (true) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs / 1_000} s: ${what}`);
    await sleep(10);
  }
}
