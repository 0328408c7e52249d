// The log: pino, one JSON object a line. Each line passes a filter that masks every secret the service knows, every login in
// an address, and every field named like a token or password: so a library's error message cannot leak one either.

import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

export interface RedactedLog {
  readonly log: Logger;
  /** From now on no line contains this text. */
  hide(secret: string): void;
}

const MASK = '[redacted]';
/** Up to the last @ before a path: one in the password may not be encoded. */
const LOGIN_IN_ADDRESS = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/"\\]+@/gi;
/** A field of this name, at any depth of the line. */
const SECRET_FIELD = /("(?:\w*token|password)":\s*")(?:[^"\\]|\\.)*/gi;
/** The same in JSON inside a string, such as an answer that an error quotes. */
const QUOTED_SECRET_FIELD = /(\\"(?:\w*token|password)\\":\s*\\")(?:[^"\\]|\\\\(?:\\["\\]|[^"\\]))*/gi;
/** Masking shorter texts would garble every line. */
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

/** A secret may be a JSON object or an address: then its password and token are secrets, its host is not. */
function fieldsOf(secret: string): string[] {
  const text = secret.trim();
  try {
    if (text.startsWith('{')) {
      const fields = JSON.parse(text) as Record<string, unknown>;
      return [fields.password, fields.token].filter((value) => typeof value === 'string');
    }
    if (URL.canParse(text)) {
      const { password } = new URL(text);
      return [text, password, decodeURIComponent(password)];
    }
  } catch {
    // Malformed: the whole text is hidden.
  }
  return [text];
}
