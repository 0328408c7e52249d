// The identity of a deployed stack: its name, its tags, and the metadata of its template. The stacks write it, and the check
// before a deployment reads it. Pure.
import { z } from 'zod';
import { SettingsError } from './setting-values.ts';
import type { Choices, Environment } from './settings.ts';

export const APPLICATION = 'discord-ingestor';

/** Tags of both stacks. */
export const TAGS = { application: 'Application', environment: 'Environment', instance: 'Instance' } as const;

/** What the name of each resource of an environment begins with. */
export const prefixOf = (environment: Environment): string => `${APPLICATION}-${environment}`;

export const stackNames = (environment: Environment) => ({
  broker: `${prefixOf(environment)}-broker`,
  service: `${prefixOf(environment)}-service`,
});

/** In the `Metadata` of both templates. */
export const METADATA_KEY = 'DiscordIngestor';

export interface StackMetadata {
  readonly instance: string | null;
  readonly settings: Choices;
}

/** A template as CloudFormation returns it; `settingsFor` checks the settings. */
export const DEPLOYED_TEMPLATE = z.object({
  Metadata: z.object({
    [METADATA_KEY]: z.object({ instance: z.string().nullish(), settings: z.record(z.string(), z.unknown()) }),
  }),
});

/**
 * The instance of the context.
 * @throws SettingsError where it is no valid name
 */
export function instanceOf(context: unknown): string | undefined {
  if (context === undefined) return undefined;
  if (typeof context === 'string' && /^[a-z0-9][a-z0-9-]{3,39}$/.test(context)) return context;
  throw new SettingsError('an environment', [
    `instance: expected 4 to 40 lower-case letters, digits and dashes, got ${JSON.stringify(context)}. It is in cdk.context.json`,
  ]);
}
