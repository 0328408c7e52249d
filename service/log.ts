// The log: pino, one JSON object a line, of bounded length. One last filter masks secrets in every line (redact.ts), so that
// the error message of a library cannot leak one either.

import { type DestinationStream, type Logger, pino } from 'pino';
import { redact } from './redact.ts';
import { LONGEST_LINE, shortLine } from './short-line.ts';

export type Log = Pick<Logger, 'child' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

export interface RedactedLog {
  readonly log: Logger;
  /** Masks this text in every later line. */
  hide(secret: string): void;
}

/** Shorter texts are not masked: that would garble every line. */
const SHORTEST_SECRET = 6;

export function createLog(options: { level: string; base?: object }, destination: DestinationStream): RedactedLog {
  const secrets = new Set<string>();
  const mask = (text: string) => redact(text, secrets);
  // Shortened first, so that the filter has little to do; the cuts are made in masked text.
  const filter = (line: string) => mask(line.length > LONGEST_LINE ? `${shortLine(line, mask)}\n` : line);
  const log = pino(
    {
      level: options.level,
      base: options.base ?? null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.errWithCause },
      hooks: { streamWrite: filter },
    },
    destination,
  );
  return {
    log,
    hide(secret) {
      for (const text of [secret, ...fieldsOf(secret)]) {
        if (text.length < SHORTEST_SECRET) continue;
        secrets.add(text);
        // As it stands inside a JSON string, and inside an address.
        secrets.add(JSON.stringify(text).slice(1, -1));
        secrets.add(encodeURIComponent(text));
      }
    },
  };
}

/** Of a JSON object, the password and the token: its host may be logged. Of an address, also the password alone. */
function fieldsOf(secret: string): string[] {
  const text = secret.trim();
  try {
    if (text.startsWith('{')) {
      const { password, token } = JSON.parse(text) as Record<string, unknown>;
      return [password, token].filter((value) => typeof value === 'string');
    }
    if (URL.canParse(text)) {
      const { password } = new URL(text);
      return [text, password, decodeURIComponent(password)];
    }
  } catch {
    // It cannot be parsed: all of the text is masked.
  }
  return [text];
}
