// What may be shown of a message. Interaction tokens, and the token of VOICE_SERVER_UPDATE, are credentials; and a terminal
// obeys control characters, which whoever names a command or writes a message may choose. Pure.

import { gunzipSync } from 'node:zlib';
import { HEADERS } from '../../service/contract/names.ts';
import { redact } from '../../service/redact.ts';

/** One line of JSON, masked, and safe to print. */
export function jsonLine(value: unknown): string {
  return printable(redact(JSON.stringify(value), []));
}

/** The same in several lines. */
export function jsonText(value: unknown): string {
  return JSON.stringify(JSON.parse(jsonLine(value)), null, 2)
    .split('\n')
    .map(printable)
    .join('\n');
}

/** Control and format characters (also those that turn the direction of a text) as JSON escapes them. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) =>
    Array.from({ length: character.length }, (_, unit) => escaped(character.charCodeAt(unit))).join(''),
  );
}

const escaped = (code: number): string => `\\u${code.toString(16).padStart(4, '0')}`;

/** A body as it is shown: parsed where it is JSON, and decompressed; in a sentence what can be neither. */
export function bodyOf(content: Buffer, encoding: unknown, headers: Readonly<Record<string, unknown>>): unknown {
  if (HEADERS.parts in headers)
    return `part ${JSON.stringify(headers[HEADERS.part])} of ${JSON.stringify(headers[HEADERS.parts])}, ${content.length} bytes`;
  try {
    const text = encoding === 'gzip' ? gunzipSync(content, { maxOutputLength: MOST_BYTES }) : content;
    const body = jsonOrText(text.toString());
    return isDeeper(body, DEEPEST) ? `${content.length} bytes of JSON that is nested too deeply` : body;
  } catch {
    return `${content.length} bytes that cannot be decompressed`;
  }
}

/** Beyond some thousands JSON.stringify ends in an error, and their indentation is long before that most of the text. */
const DEEPEST = 200;

function isDeeper(value: unknown, than: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return than === 0 || Object.values(value).some((each) => isDeeper(each, than - 1));
}

const MOST_BYTES = 64 * 1024 ** 2;

/** Whoever spells a name with escapes must not hide it from the masks. */
function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
