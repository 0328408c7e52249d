// The kinds of error, told apart by what the caller must do.

/** The configuration is wrong: tell all faults at once, exit with EX_CONFIG, do not restart in a loop. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** Another system refused for a reason that trying again cannot mend: say it, wait for a change from outside. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

/** Something did not answer within its deadline. The caller may try again. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** One line about an unknown thrown value. An AggregateError (two refused addresses of one host) has no message of its own. */
export function errorMessage(error: unknown): string {
  if (error instanceof AggregateError && !error.message) return error.errors.map(errorMessage).join('; ');
  if (error instanceof Error) return error.message || error.name;
  return String(error);
}
