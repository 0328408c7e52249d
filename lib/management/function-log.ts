// The log of the functions: one JSON object a line. No password is in it, because none is in an error.
import { inspect } from 'node:util';
import { errorMessage } from '../../service/errors.ts';

export function log(level: 'info' | 'warn' | 'error', message: string, fields: object = {}): void {
  console.log(JSON.stringify({ level, message, ...fields }));
}

/** With stack and causes, of which Lambda's own line has none. */
export function logError(level: 'warn' | 'error', message: string, error: unknown): void {
  log(level, message, { err: inspect(error) });
}

/** Logs what fails. */
export async function logged<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    logError('error', errorMessage(error), error);
    throw error;
  }
}
