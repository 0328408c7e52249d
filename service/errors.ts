// The one class of error that callers distinguish, and the text of any error.

/** The configuration is wrong: report all faults at once, and exit with EX_CONFIG. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** One line about an unknown thrown value. An AggregateError (two refused addresses of one host) has no message of its own. */
export function errorMessage(error: unknown): string {
  if (error instanceof AggregateError && !error.message) return error.errors.map(errorMessage).join('; ');
  if (error instanceof Error) return error.message || error.name;
  return String(error);
}
