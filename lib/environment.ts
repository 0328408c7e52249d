// One environment: its two stacks, their names, tags and protection. The names are what an operator types.
import { type App, Tags } from 'aws-cdk-lib';
import { acknowledge } from './acknowledgements.ts';
import { BrokerStack } from './broker-stack.ts';
import { IngestorStack } from './ingestor-stack.ts';
import type { Settings } from './settings.ts';

export interface EnvironmentStacks {
  readonly broker: BrokerStack;
  readonly ingestor: IngestorStack;
}

export function environmentStacks(app: App, settings: Settings): EnvironmentStacks {
  const { environment, account, region } = settings;
  const env = { ...(account && { account }), ...(region && { region }) };
  const name = `discord-ingestor-${environment}`;
  const broker = new BrokerStack(app, `${name}-broker`, {
    settings,
    env,
    description: `Discord ingestor, ${environment}: network, broker, topology and secrets`,
    terminationProtection: environment === 'production',
  });
  const ingestor = new IngestorStack(app, `${name}-service`, {
    settings,
    foundation: broker,
    env,
    description: `Discord ingestor, ${environment}: the service, its alarms and its dashboard`,
  });
  Tags.of(app).add('Application', 'discord-ingestor');
  Tags.of(app).add('Environment', environment);
  acknowledge(settings, [broker, ingestor]);
  return { broker, ingestor };
}
