/** Undefined where the text is no JSON: the parser's own error quotes the text, which may be a secret. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
