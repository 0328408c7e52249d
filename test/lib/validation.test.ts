// The rules of others, on both environments: the CDK's own validation and cdk-nag's AwsSolutions, which bin/app.ts asks
// too, and Control Tower's guard, which is a binary for Linux and macOS and runs here alone. Every breach is repaired, or has its reason in lib/acknowledgements.ts; and every acknowledgement there silences
// something that would be said without it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CfnGuardValidator } from '@cdklabs/cdk-validator-cfnguard';
import type { App, IPolicyValidationPlugin } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { describe, expect, it } from 'vitest';
import { acknowledgements } from '../../lib/acknowledgements.ts';
import { BrokerStack } from '../../lib/broker-stack.ts';
import { IngestorStack } from '../../lib/ingestor-stack.ts';
import { type Choices, type Environment, type Settings, settingsFor } from '../../lib/settings.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';

/** What is left to say once the acknowledgements have been heard: `rule at construct`. */
function left({ folder }: Synthesized): string[] {
  const { pluginReports } = JSON.parse(readFileSync(join(folder, 'validation-report.json'), 'utf8')) as {
    pluginReports: { violations: { ruleName: string; violatingConstructs?: { constructPath?: string }[] }[] }[];
  };
  return pluginReports.flatMap(({ violations }) =>
    violations.flatMap(({ ruleName, violatingConstructs = [] }) =>
      violatingConstructs.map(({ constructPath }) => `${ruleName} at ${constructPath}`),
    ),
  );
}

/** The same plugin, which remembers what it says before the acknowledgements take it back. */
function listening(plugin: IPolicyValidationPlugin, heard: Set<string>): IPolicyValidationPlugin {
  return {
    name: plugin.name,
    validate(context) {
      const report = plugin.validate(context);
      for (const { ruleName } of report.violations) heard.add(ruleName);
      return report;
    },
  };
}

/** As `environmentStacks` makes them, without the acknowledgements. */
function outspoken(app: App, settings: Settings) {
  const broker = new BrokerStack(app, `discord-ingestor-${settings.environment}-broker`, { settings });
  const foundation = broker;
  const ingestor = new IngestorStack(app, `discord-ingestor-${settings.environment}-service`, { settings, foundation });
  return { broker, ingestor };
}

function acknowledged(environment: Environment, prefix: string): string[] {
  const rules = acknowledgements(settingsFor(environment)).map(({ rule }) => rule);
  const ours = rules.filter((rule) => rule.startsWith(prefix));
  return [...new Set(ours.map((rule) => rule.replace('cdk-validator-cfnguard::', '')))].sort();
}

describe.each(['staging', 'production'] as const)('%s', (environment) => {
  it("follows AwsSolutions and the CDK's own rules, but for what is acknowledged", () => {
    expect(left(synthesized(environment, {}, (app) => [new AwsSolutionsChecks(app)]))).toEqual([]);
  });

  it('needs each of the acknowledgements of AwsSolutions', () => {
    const said = () => synthesized(environment, {}, (app) => [new AwsSolutionsChecks(app)], outspoken);
    expect(said).toThrow(/AwsSolutions/);
    const rules = new Set(
      [...errorMessage(said).matchAll(/Acknowledge with 'AwsSolutions::(.+)'/g)].map(([, rule]) => rule),
    );
    expect([...rules].sort()).toEqual(acknowledged(environment, 'AwsSolutions-'));
  });

  it("follows Control Tower's rules, but for what is acknowledged", () => {
    const heard = new Set<string>();
    const made = synthesized(environment, {}, () => [listening(new CfnGuardValidator(), heard)]);
    expect(left(made)).toEqual([]);
    expect([...heard].sort()).toEqual(acknowledged(environment, 'cdk-validator-cfnguard'));
  });
});

// What is not acknowledged ends a synth: a setting that brings something new could not be chosen.
describe('with other settings, AwsSolutions has nothing to say', () => {
  const named = { account: '111122223333', region: 'eu-central-1' };
  const secretArn = (name: string) => `arn:aws:secretsmanager:eu-central-1:111122223333:secret:${name}-AbCdEf`;
  const existing = {
    vpcId: 'vpc-0123456789abcdef0',
    brokerSubnetIds: ['subnet-0123456789abcdef0'],
    serviceSubnetIds: ['subnet-0123456789abcdef1', 'subnet-0123456789abcdef2'],
  };
  const broker = {
    existing: {
      name: 'shared',
      host: 'b-1234.mq.eu-central-1.on.aws',
      administratorSecretArn: secretArn('administrator'),
      securityGroupId: 'sg-0123456789abcdef0',
    },
  };
  const choices: [title: string, environment: Environment, choices: Choices][] = [
    [
      'a named account and region, ECS Exec, an e-mail address',
      'staging',
      { ...named, task: { execEnabled: true }, alarmEmail: 'ops@example.com' },
    ],
    [
      'the other way out, no rotation, one node, a token of its own',
      'production',
      { egress: 'public-ip', rotationDays: 0, broker: { nodes: 1 }, discordTokenSecretArn: secretArn('token') },
    ],
    ['NAT gateways, a cluster, two groups', 'staging', { egress: 'nat', broker: { nodes: 3 }, shards: { count: 20 } }],
    ['a network that is there', 'staging', { network: { existing } }],
    [
      'a broker that is there, ECS Exec, a token of its own',
      'staging',
      {
        network: { existing },
        broker,
        egress: 'nat',
        task: { execEnabled: true },
        discordTokenSecretArn: secretArn('token'),
      },
    ],
  ];
  it.each(choices)('%s', (_, environment, chosen) => {
    expect(left(synthesized(environment, chosen, (app) => [new AwsSolutionsChecks(app)]))).toEqual([]);
  });
});

it('every acknowledgement has a reason, and constructs that it is for', () => {
  const all = (['staging', 'production'] as const).flatMap((environment) => acknowledgements(settingsFor(environment)));
  for (const { rule, at, reason } of all) {
    expect(reason.length, rule).toBeGreaterThan(30);
    expect(at.length, rule).toBeGreaterThan(0);
  }
});

function errorMessage(work: () => unknown): string {
  try {
    work();
    return '';
  } catch (error) {
    return String(error);
  }
}
