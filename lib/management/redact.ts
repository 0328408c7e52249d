// The one place that removes secrets from a text that another party wrote: the broker, or what answers in its place.

/** The text with `[redacted]` in place of each secret, also where it is written as JSON or in an address. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets
    .filter((secret) => secret !== '')
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)])
    .reduce((cleaned, secret) => cleaned.replaceAll(secret, '[redacted]'), text);
}
