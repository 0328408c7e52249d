// The log: pino, one JSON object a line. Every line passes one last filter, which masks every secret that the service
// knows and every login inside an address. So the error message of a library cannot leak one either.

import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

export interface RedactedLog {
  readonly log: Logger;
  /** Masks this text in every later line. */
  hide(secret: string): void;
}

const MASK = '[redacted]';
/** Up to the last @ before a path: a password may hold one that is not encoded. */
const LOGIN_IN_ADDRESS = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/"\\]+@/gi;
/** A field with such a name, at any depth of the line. */
const SECRET_FIELD = /("(?:\w*token|password)":\s*")(?:[^"\\]|\\.)*/gi;
/** The same in JSON inside a text of the line, such as an answer quoted by an error. */
const QUOTED_SECRET_FIELD = /(\\"(?:\w*token|password)\\":\s*\\")(?:[^"\\]|\\\\(?:\\["\\]|[^"\\]))*/gi;
/** Shorter texts are not masked: that would garble every line. */
const SHORTEST_SECRET = 6;

export function createLog(options: { level: string; base?: object }, destination?: DestinationStream): RedactedLog {
  const secrets = new Set<string>();
  const redact = (line: string): string => {
    let clean = line
      .replace(LOGIN_IN_ADDRESS, `$1${MASK}@`)
      .replace(SECRET_FIELD, `$1${MASK}`)
      .replace(QUOTED_SECRET_FIELD, `$1${MASK}`);
    for (const secret of secrets) clean = clean.replaceAll(secret, MASK);
    return clean;
  };
  const log = pino(
    {
      level: options.level,
      base: options.base ?? null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.errWithCause },
      hooks: { streamWrite: redact },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
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
    // Cannot be parsed: the whole text is masked.
  }
  return [text];
}
