// Masks secrets in a text: those that the service knows, every login inside an address, every ARN of AWS (it has the account,
// and names a secret), and the value of every field that is named like a secret, also in JSON inside a text. The texts may
// come from an attacker, so each pass takes linear time: no expression here reads a character twice. Pure.

const MASK = '[redacted]';
/** Where the login of an address ends at the latest. A password may hold an @ that is not encoded: the last one counts. */
const NO_LOGIN = /[\s/"\\]/g;

/** With an account. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html */
const ARN = /\barn:aws[\w-]{0,40}:[\w-]{0,40}:[\w-]{0,40}:\d{12}:[^\s"'\\,;()]*/gi;

/** JSON; JSON inside a text of it; and once more. At depth n a quote has 2^n - 1 backslashes before it. */
const FIELDS = [0, 1, 2].map((depth) => {
  const backslashes = 2 ** depth - 1;
  const quote = `${'\\\\'.repeat(backslashes)}"`;
  return {
    backslashes,
    start: new RegExp(`${quote}(?:\\w{0,40}token|password)${quote}:\\s{0,20}${quote}`, 'gi'),
  };
});

export function redact(text: string, secrets: Iterable<string>): string {
  let clean = withoutLogins(text).replaceAll(ARN, MASK);
  for (const field of FIELDS) clean = withoutFields(clean, field);
  for (const secret of secrets) clean = clean.replaceAll(secret, MASK);
  return clean;
}

function withoutLogins(text: string): string {
  const clean: string[] = [];
  let kept = 0;
  for (let sign = text.indexOf('://'); sign !== -1; ) {
    const start = sign + '://'.length;
    NO_LOGIN.lastIndex = start;
    const end = NO_LOGIN.exec(text)?.index ?? text.length;
    const at = text.slice(start, end).lastIndexOf('@');
    if (at > 0) {
      clean.push(text.slice(kept, start), MASK);
      kept = start + at;
    }
    // The colon of the next one may have been taken for a part of this login.
    sign = text.indexOf('://', Math.max(start, end - 1));
  }
  return clean.join('') + text.slice(kept);
}

function withoutFields(text: string, { backslashes, start }: (typeof FIELDS)[number]): string {
  const clean: string[] = [];
  let kept = 0;
  // The search that finds no more begins the next one at 0.
  while (start.exec(text) !== null) {
    clean.push(text.slice(kept, start.lastIndex), MASK);
    kept = start.lastIndex = endOfValue(text, start.lastIndex, backslashes);
  }
  return clean.join('') + text.slice(kept);
}

/** Where the quote begins that ends the value, or the text around it; the end of the text when there is none. */
function endOfValue(text: string, start: number, backslashes: number): number {
  const inValue = 2 * backslashes + 1;
  for (let quote = text.indexOf('"', start); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let before = 0;
    while (quote - before > start && text[quote - before - 1] === '\\') before += 1;
    if ((before & inValue) === inValue) continue;
    return (before & backslashes) === backslashes ? quote - backslashes : quote;
  }
  return text.length;
}
