// One environment: its two stacks, their names, tags and protection. The names are what an operator types. Each template
// says with which settings it was made, and each stack by its tags whose it is: `bin/deploy.ts` asks for both.
import { type App, Tags } from 'aws-cdk-lib';
import { acknowledge } from './acknowledgements.ts';
import { BrokerStack } from './broker-stack.ts';
import { IngestorStack } from './ingestor-stack.ts';
import { choicesOf, type Settings } from './settings.ts';
import { APPLICATION, METADATA_KEY, type StackMetadata, stackNames, TAGS } from './stack-identity.ts';

export interface EnvironmentStacks {
  readonly broker: BrokerStack;
  readonly ingestor: IngestorStack;
}

/** @param instance tells this deployment of the bot from others in the account; nothing is needed to synthesize */
export function environmentStacks(app: App, settings: Settings, instance?: string): EnvironmentStacks {
  const { environment, account, region } = settings;
  const env = { ...(account && { account }), ...(region && { region }) };
  const names = stackNames(environment);
  const tags = { [TAGS.application]: APPLICATION, [TAGS.environment]: environment };
  const common = {
    settings,
    env,
    terminationProtection: settings.keepsData,
    tags: { ...tags, ...(instance !== undefined && { [TAGS.instance]: instance }) },
  };
  const broker = new BrokerStack(app, names.broker, {
    ...common,
    description: `Discord ingestor, ${environment}: network, broker, topology and secrets`,
  });
  const ingestor = new IngestorStack(app, names.service, {
    ...common,
    foundation: broker,
    description: `Discord ingestor, ${environment}: the service, its alarms and its dashboard`,
  });
  for (const [name, value] of Object.entries(tags)) Tags.of(app).add(name, value);
  const metadata: StackMetadata = { instance: instance ?? null, settings: choicesOf(settings) };
  for (const stack of [broker, ingestor]) stack.addMetadata(METADATA_KEY, metadata);
  acknowledge(settings, [broker, ingestor]);
  return { broker, ingestor };
}
