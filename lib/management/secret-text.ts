// Calls of Secrets Manager by the functions. An error names the operation and the kind of failure only: the SDK's own
// errors may quote an answer that they cannot parse, and carry the whole answer as their cause.
import {
  GetSecretValueCommand,
  ResourceNotFoundException,
  type SecretsManagerClient,
  SecretsManagerServiceException,
} from '@aws-sdk/client-secrets-manager';

/**
 * The text of the current version, or of another one; undefined where there is no such version, or it has no value.
 * @throws Error with one sentence, which quotes nothing of a secret
 */
export async function readSecretText(
  secrets: SecretsManagerClient,
  secret: string,
  version: { readonly VersionId?: string; readonly VersionStage?: string } = {},
): Promise<string | undefined> {
  return await withCleanError('GetSecretValue', secret, async () => {
    try {
      const answer = await secrets.send(new GetSecretValueCommand({ SecretId: secret, ...version }));
      return answer.SecretString;
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  });
}

/** @throws Error with one sentence in place of what `call` throws */
export async function withCleanError<T>(operation: string, secret: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw new Error(`secret ${secret}: ${operation} failed: ${kindOf(error)}`);
  }
}

function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no reason given';
  // AWS wrote this message itself: it names the action that is denied.
  if (error.name === 'AccessDeniedException' && error instanceof SecretsManagerServiceException)
    return `${error.name}: ${error.message}`;
  return 'code' in error && typeof error.code === 'string' ? `${error.name} (${error.code})` : error.name;
}
