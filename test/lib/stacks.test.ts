// What is in the templates of both environments, and what is not, each with its reason.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, it } from 'vitest';
import { BROKER_SIZES, type BrokerSize } from '../../lib/broker-limits.ts';
import { BrokerStack } from '../../lib/broker-stack.ts';
import { environmentStacks } from '../../lib/environment.ts';
import { MANAGEMENT_ENV } from '../../lib/management/function-settings.ts';
import { type Choices, MOST_GROUPS, type Settings, settingsFor } from '../../lib/settings.ts';
import type { StackMetadata } from '../../lib/stack-identity.ts';
import { APPLIED_TAG } from '../../lib/topology/resource-properties.ts';
import { STOP_TIMEOUT_SECONDS } from '../../service/contract/limits.ts';
import { USERS } from '../../service/contract/names.ts';
import { type Resource, type Synthesized, synthesized } from '../support/synthesized.ts';
import { exportsOf, imports, references, templatesOf } from './needed.ts';

const environments = ['staging', 'production'] as const;
const both = new Map<string, Synthesized>();

beforeAll(() => {
  for (const environment of environments) both.set(environment, synthesized(environment));
});

function of(environment: string): Synthesized {
  const found = both.get(environment);
  if (!found) throw new Error(`${environment} was not synthesized`);
  return found;
}

function the(environment: string, type: string): Resource {
  return of(environment).one(type);
}

function statements(environment: string): { where: string; Action: string[]; Resource: unknown[]; Effect: string }[] {
  const { ofType } = of(environment);
  return ['AWS::IAM::Policy', 'AWS::IAM::Role']
    .flatMap(ofType)
    .flatMap(([where, { Properties }]) => {
      const documents = [Properties.PolicyDocument, ...((Properties.Policies as unknown[]) ?? [])] as {
        Statement?: { Action: string | string[]; Resource: unknown; Effect: string }[];
      }[];
      return documents.flatMap((document) => document?.Statement ?? []).map((statement) => ({ where, ...statement }));
    })
    .map(({ Action, Resource, ...rest }) => ({ ...rest, Action: [Action].flat(), Resource: [Resource].flat() }));
}

describe.each(environments)('%s', (environment) => {
  it('lets nobody in but clients to 5671 and functions to 443, and functions to Secrets Manager', () => {
    const { ofType } = of(environment);
    const rules = ofType('AWS::EC2::SecurityGroupIngress').map(([, { Properties }]) => ({
      port: Properties.ToPort,
      from: JSON.stringify(Properties.SourceSecurityGroupId),
      to: JSON.stringify(Properties.GroupId),
    }));
    const name = (text: string) =>
      /(BrokerAccess|Clients|NetworkFunctions|SecretsManagerAccess)/.exec(text)?.[1] ?? text;
    const named = rules.map(({ port, from, to }) => `${name(from)} → ${name(to)}:${port}`).sort();
    expect(named).toEqual([
      'Clients → BrokerAccess:5671',
      'NetworkFunctions → BrokerAccess:443',
      // The test of a rotated login.
      'NetworkFunctions → BrokerAccess:5671',
      ...(environment === 'staging' ? ['NetworkFunctions → SecretsManagerAccess:443'] : []),
    ]);
    const inline = ofType('AWS::EC2::SecurityGroup').filter(([, { Properties }]) => Properties.SecurityGroupIngress);
    expect(inline).toEqual([]);
  });

  it('has a private broker, encrypted, patched, with logs', () => {
    const broker = the(environment, 'AWS::AmazonMQ::Broker').Properties;
    expect(broker).toMatchObject({
      EngineType: 'RABBITMQ',
      EngineVersion: '4.3',
      PubliclyAccessible: false,
      EncryptionOptions: { UseAwsOwnedKey: true },
      AutoMinorVersionUpgrade: true,
      Logs: { General: true },
      HostInstanceType: environment === 'production' ? 'mq.m7g.large' : 'mq.m7g.medium',
      DeploymentMode: environment === 'production' ? 'CLUSTER_MULTI_AZ' : 'SINGLE_INSTANCE',
    });
    expect(broker.SubnetIds).toHaveLength(environment === 'production' ? 3 : 1);
    expect(JSON.stringify(broker.SubnetIds)).not.toMatch(/Public|Service/);
    const { Data } = the(environment, 'AWS::AmazonMQ::Configuration').Properties;
    expect(Data).toEqual({
      'Fn::Base64': [
        'max_message_size = 1048576',
        'consumer_max_per_channel = 100',
        `connection_max = ${environment === 'production' ? 1500 : 300}`,
        'secure.management.http.headers.enabled = true',
        '',
      ].join('\n'),
    });
  });

  it('keeps the broker in subnets without a way to the internet', () => {
    const routes = of(environment).ofType('AWS::EC2::Route');
    expect(routes.filter(([id]) => id.includes('Broker'))).toEqual([]);
    expect(routes.length).toBe(environment === 'production' ? 6 : 2);
  });

  it('knows no secret: passwords are references, and the token is empty until a person puts it in', () => {
    const { resources, outputs } = of(environment);
    const broker = the(environment, 'AWS::AmazonMQ::Broker').Properties;
    expect(JSON.stringify(broker.Users)).toMatch(
      /^\[\{"Password":\{"Fn::Join":\["",\["\{\{resolve:secretsmanager:",\{"Ref":"\w+"\},":SecretString:password::\}\}"\]\]\},"Username":"administrator"\}\]$/,
    );
    for (const [id, { Type, Properties }] of resources) {
      if (Type !== 'AWS::SecretsManager::Secret') continue;
      expect(Properties, id).not.toHaveProperty('SecretString');
      if (id === 'DiscordTokenValue') expect(Properties).not.toHaveProperty('GenerateSecretString');
      else {
        expect(Properties.GenerateSecretString, id).toMatchObject({
          GenerateStringKey: 'password',
          ExcludePunctuation: true,
          PasswordLength: 40,
        });
      }
    }
    const references = JSON.stringify([...resources, ...outputs]).match(/resolve:secretsmanager/g);
    expect(references).toHaveLength(1);
  });

  it('lets each secret be read by those who need it, and by nobody else', () => {
    const readers = new Map<string, string[]>();
    for (const { where, Action, Resource } of statements(environment)) {
      if (!Action.includes('secretsmanager:GetSecretValue')) continue;
      for (const resource of Resource) {
        const secret =
          /(Administrator|DiscordToken|IngestorLogin|WorkerLogin|DeadLettersLogin)/.exec(
            JSON.stringify(resource),
          )?.[1] ?? '*';
        const reader = /(TopologyApply|RotationRotate|TaskRole)/.exec(where)?.[1] ?? where;
        readers.set(secret, [...(readers.get(secret) ?? []), reader].sort());
      }
    }
    expect(Object.fromEntries(readers)).toEqual({
      Administrator: ['RotationRotate', 'TopologyApply'],
      DeadLettersLogin: ['RotationRotate', 'TopologyApply'],
      DiscordToken: ['TaskRole'],
      IngestorLogin: ['RotationRotate', 'TaskRole', 'TopologyApply'],
      WorkerLogin: ['RotationRotate', 'TopologyApply'],
    });
  });

  it('grants on all resources only what belongs to none', () => {
    const wide = statements(environment)
      .filter(({ Effect, Resource }) => Effect === 'Allow' && Resource.includes('*'))
      .flatMap(({ Action }) => Action);
    expect(wide).toEqual(['ecr:GetAuthorizationToken']);
    expect(
      statements(environment)
        .flatMap(({ Action }) => Action)
        .filter((action) => action.endsWith('*')),
    ).toEqual([]);
  });

  it('gives every log group an end, and every function a log group of the stack', () => {
    const { ofType } = of(environment);
    for (const [id, { Properties, DeletionPolicy }] of ofType('AWS::Logs::LogGroup')) {
      expect(Properties.RetentionInDays, id).toBeGreaterThan(0);
      if (environment === 'staging') expect(DeletionPolicy, id).toBe('Delete');
    }
    for (const [id, { Properties }] of ofType('AWS::Lambda::Function')) {
      expect(Properties.LoggingConfig, id).toMatchObject({ LogGroup: { Ref: expect.any(String) } });
    }
    const kept = ofType('Custom::BrokerLogRetention').map(([, { Properties }]) => JSON.stringify(Properties.Create));
    expect(kept).toHaveLength(3);
    for (const call of kept) expect(call).toContain(`\\"retentionInDays\\":${environment === 'production' ? 90 : 14}`);
  });

  it('runs functions on Node 24', () => {
    for (const [id, { Properties }] of of(environment).ofType('AWS::Lambda::Function')) {
      expect(Properties.Runtime, id).toBe('nodejs24.x');
    }
  });

  it('has the topology in the stack before the first task, and after every rule on the way to the broker', () => {
    const { ofType, folder } = of(environment);
    const topology = the(environment, 'Custom::BrokerTopology');
    const rules = [...ofType('AWS::EC2::SecurityGroupIngress'), ...ofType('AWS::EC2::SecurityGroupEgress')];
    const ways = rules.map(([id]) => id).filter((id) => !id.startsWith('Clients'));
    expect(ways.length).toBeGreaterThan(4);
    for (const id of ways) expect(topology.DependsOn).toContain(id);
    if (environment === 'production') {
      const routes = ofType('AWS::EC2::Route').filter(([id]) => id.includes('ServiceSubnet'));
      for (const [id] of routes) expect(topology.DependsOn).toContain(id);
    }
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    const service = manifest.artifacts[`discord-ingestor-${environment}-service`];
    expect(service.dependencies).toContain(`discord-ingestor-${environment}-broker`);
  });

  it('tells the function of rotations which secret belongs to which user, and where the broker is', () => {
    const functions = of(environment).ofType('AWS::Lambda::Function');
    const rotate = functions.find(([id]) => id.startsWith('RotationRotate'))?.[1];
    const { Variables } = Object(rotate?.Properties.Environment) as { Variables: Record<string, unknown> };
    expect(JSON.stringify(Variables.MANAGEMENT_URL)).toContain('https://');
    const logins = (Variables.LOGIN_SECRET_ARNS as { 'Fn::Join': ['', (string | { Ref: string })[]] })['Fn::Join'][1]
      .map((part) => (typeof part === 'string' ? part : part.Ref.replace(/[0-9A-F]{8}$/, '')))
      .join('');
    expect(JSON.parse(logins)).toEqual({
      ingestor: 'IngestorLogin',
      worker: 'WorkerLogin',
      'dead-letters': 'DeadLettersLogin',
    });
  });

  it('rotates every login, not at once, and only when their users are there', () => {
    const schedules = of(environment).ofType('AWS::SecretsManager::RotationSchedule');
    expect(schedules.map(([, { Properties }]) => JSON.stringify(Properties.SecretId)).sort()).toEqual([
      expect.stringContaining('DeadLettersLogin'),
      expect.stringContaining('IngestorLogin'),
      expect.stringContaining('WorkerLogin'),
    ]);
    for (const [, { Properties, DependsOn }] of schedules) {
      expect(Properties).toMatchObject({
        RotateImmediatelyOnUpdate: false,
        RotationRules: { AutomaticallyAfterDays: 30 },
      });
      expect(DependsOn?.some((id) => id.startsWith('Topology'))).toBe(true);
    }
    const permissions = of(environment).ofType('AWS::Lambda::Permission');
    expect(permissions).toHaveLength(3);
    for (const [id, { Properties }] of permissions) {
      // Nobody else's Secrets Manager, and for no other secret.
      expect(Properties, id).toMatchObject({
        Principal: 'secretsmanager.amazonaws.com',
        SourceAccount: { Ref: 'AWS::AccountId' },
        SourceArn: { Ref: expect.stringMatching(/^(Ingestor|Worker|DeadLetters)Login/) },
      });
    }
  });

  it('runs the task with nothing it does not need', () => {
    const task = the(environment, 'AWS::ECS::TaskDefinition').Properties;
    expect(task).toMatchObject({ RuntimePlatform: { CpuArchitecture: 'ARM64', OperatingSystemFamily: 'LINUX' } });
    const [container, ...others] = task.ContainerDefinitions as Record<string, unknown>[];
    expect(others).toEqual([]);
    expect(container).toMatchObject({
      User: '65532:65532',
      ReadonlyRootFilesystem: true,
      LinuxParameters: { Capabilities: { Drop: ['ALL'] }, InitProcessEnabled: true },
      StopTimeout: STOP_TIMEOUT_SECONDS,
      Memory: Number(task.Memory),
      HealthCheck: { StartPeriod: 60, Interval: 30, Timeout: 10, Retries: 3 },
      LogConfiguration: { LogDriver: 'awslogs', Options: { mode: 'non-blocking' } },
    });
    expect(container).not.toHaveProperty('PortMappings');
    expect(container).not.toHaveProperty('Secrets');
    expect(JSON.stringify(container?.HealthCheck)).not.toMatch(/curl|CMD-SHELL/);
  });

  it('looks at alarms for as long as the slowest of them needs, once the old tasks are gone', () => {
    const { ofType } = of(environment);
    const { Alarms, BakeTimeInMinutes } = the(environment, 'AWS::ECS::Service').Properties.DeploymentConfiguration as {
      Alarms: { AlarmNames: string[] };
      BakeTimeInMinutes: number;
    };
    const slowest = ofType('AWS::CloudWatch::Alarm')
      .filter(([, { Properties }]) => Alarms.AlarmNames.includes(String(Properties.AlarmName)))
      .map(([, { Properties }]) => Number(Properties.EvaluationPeriods));
    // A minute until a task's first line, and some until CloudWatch has looked.
    expect(BakeTimeInMinutes).toBeGreaterThanOrEqual(Math.max(...slowest) + 3);
    // A person waits for it.
    expect(BakeTimeInMinutes).toBeLessThanOrEqual(15);
  });

  it('deploys by starting new tasks first, and rolls back by itself', () => {
    const service = the(environment, 'AWS::ECS::Service').Properties;
    expect(service).toMatchObject({
      DesiredCount: environment === 'production' ? 2 : 1,
      EnableExecuteCommand: false,
      NetworkConfiguration: {
        AwsvpcConfiguration: { AssignPublicIp: environment === 'production' ? 'DISABLED' : 'ENABLED' },
      },
      DeploymentConfiguration: {
        MinimumHealthyPercent: 100,
        MaximumPercent: 200,
        DeploymentCircuitBreaker: {
          Enable: true,
          Rollback: true,
          ResetOnHealthyTask: false,
          ThresholdConfiguration: { Type: 'COUNT', Value: 3 },
        },
        Alarms: { Enable: true, Rollback: true },
      },
    });
  });

  it('rolls back by alarms that exist before the service, and calls nobody about a service that is not there yet', () => {
    const { ofType } = of(environment);
    const alarms = ofType('AWS::CloudWatch::Alarm');
    const service = of(environment).one('AWS::ECS::Service');
    const { AlarmNames } = (service.Properties.DeploymentConfiguration as { Alarms: { AlarmNames: string[] } }).Alarms;
    expect(AlarmNames.length).toBeGreaterThan(0);
    for (const name of AlarmNames) {
      const [id = ''] = alarms.find(([, { Properties }]) => Properties.AlarmName === name) ?? [];
      // Of the stack that is deployed minutes before: one that takes silence for failure is on by then, so that ECS does
      // not fail the first deployment while its image is still being pulled. Made beside the service, it would.
      expect(Object.keys(of(environment).broker.toJSON().Resources), name).toContain(id);
    }
    for (const [id, { Properties, DependsOn }] of alarms) {
      if (AlarmNames.includes(String(Properties.AlarmName))) continue;
      if (Properties.TreatMissingData === 'breaching') expect(DependsOn, id).toContain(service.id);
    }
  });

  it('lets alarms publish to their topic, and nobody without TLS', () => {
    const policy = the(environment, 'AWS::SNS::TopicPolicy').Properties.PolicyDocument;
    expect(policy).toMatchObject({
      Statement: [
        { Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } },
        { Effect: 'Allow', Principal: { Service: 'cloudwatch.amazonaws.com' }, Action: 'sns:Publish' },
      ],
    });
  });

  it('is of no account and no region, so that it needs no credentials to be made', () => {
    const { folder } = of(environment);
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    expect(manifest.missing).toBeUndefined();
    for (const stack of ['broker', 'service']) {
      const { environment: where } = manifest.artifacts[`discord-ingestor-${environment}-${stack}`];
      expect(where).toBe('aws://unknown-account/unknown-region');
    }
  });

  it('says what a person wants to know', () => {
    expect([...of(environment).outputs.keys()].filter((name) => !name.startsWith('ExportsOutput')).sort()).toEqual([
      'AdministratorSecret',
      'AlarmTopic',
      'BrokerClientsGroup',
      'BrokerConsole',
      'BrokerEndpoint',
      'ClusterName',
      'DashboardLink',
      'DeadLettersLoginSecret',
      'HealthAlarm',
      'KeptByTopology',
      'LogGroup',
      'LoginFunction',
      'ManagementEndpoint',
      'PutDiscordToken',
      'ServiceName',
      'TopologyWarning',
      'WorkerLoginSecret',
    ]);
  });
});

describe('what outlives a deployment', () => {
  const stacksOf = (environment: 'staging' | 'production') => {
    const { folder } = of(environment);
    const { artifacts } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    return ['broker', 'service'].map((stack) => artifacts[`discord-ingestor-${environment}-${stack}`].properties);
  };
  const keptBy = ({ resources }: Synthesized) =>
    [...resources].filter(([, { DeletionPolicy }]) => DeletionPolicy?.startsWith('Retain'));

  it('both stacks of production refuse to be destroyed, those of staging do not', () => {
    // Both: `cdk destroy` begins with the service.
    expect(stacksOf('production').map(({ terminationProtection }) => terminationProtection)).toEqual([true, true]);
    expect(stacksOf('staging').map(({ terminationProtection }) => Boolean(terminationProtection))).toEqual([
      false,
      false,
    ]);
  });

  it('production keeps what holds data, but nothing of a first creation that failed: its names would be taken', () => {
    const kept = keptBy(of('production'));
    const types = new Set(kept.map(([, { Type }]) => Type));
    for (const type of [
      'AWS::AmazonMQ::Broker',
      'AWS::AmazonMQ::Configuration',
      'AWS::SecretsManager::Secret',
      'AWS::Logs::LogGroup',
    ]) {
      expect(types, type).toContain(type);
    }
    for (const [id, { DeletionPolicy, UpdateReplacePolicy }] of kept) {
      expect({ DeletionPolicy, UpdateReplacePolicy }, id).toEqual({
        DeletionPolicy: 'RetainExceptOnCreate',
        UpdateReplacePolicy: 'Retain',
      });
    }
    const secrets = of('production').ofType('AWS::SecretsManager::Secret');
    for (const secret of secrets) expect(kept).toContainEqual(secret);
  });

  it.each<[string, Choices]>([
    ['as it is', {}],
    ['with one node', { broker: { nodes: 1 } }],
    ['with public addresses', { egress: 'public-ip' }],
  ])(
    'production, %s: what a kept resource refers to is kept, or its removal would fail and it could not be adopted',
    (_, choices) => {
      const made = synthesized('production', choices);
      const kept = new Set(keptBy(made).map(([id]) => id));
      for (const template of Object.values(templatesOf(made))) {
        for (const [id, { Properties }] of Object.entries(template.Resources)) {
          if (kept.has(id))
            expect(
              references(Properties, template).filter((other) => !kept.has(other)),
              id,
            ).toEqual([]);
        }
      }
    },
  );

  it('staging leaves nothing behind', () => {
    expect(keptBy(of('staging'))).toEqual([]);
  });

  it('one setting decides about all of it', () => {
    const build = (app: App, settings: Settings) => environmentStacks(app, { ...settings, keepsData: true });
    const made = synthesized('staging', {}, undefined, build);
    const production = new Set(keptBy(of('production')).map(([, { Type }]) => Type));
    expect(new Set(keptBy(made).map(([, { Type }]) => Type))).toEqual(production);
  });

  it('stacks and templates say whose they are, and with which settings they were made', () => {
    const made = synthesized(
      'staging',
      { shards: { count: 2 } },
      () => [],
      (app, settings) => environmentStacks(app, settings, 'bot-1'),
    );
    const { artifacts } = JSON.parse(readFileSync(join(made.folder, 'manifest.json'), 'utf8'));
    for (const [stack, template] of Object.entries(templatesOf(made))) {
      const { tags } = artifacts[`discord-ingestor-staging-${stack}`].properties;
      expect(tags).toEqual({ Application: 'discord-ingestor', Environment: 'staging', Instance: 'bot-1' });
      const { instance, settings } =
        (template as { Metadata?: Record<string, StackMetadata> }).Metadata?.DiscordIngestor ?? {};
      expect(instance).toBe('bot-1');
      expect(settingsFor('staging', settings)).toEqual(made.settings);
    }
  });

  it('a broker is never replaced by a changed choice: what Amazon MQ cannot change stays what it is', () => {
    // Each of these would be a new broker, or a failed update. See docs/deploy.md, "What cannot be changed".
    const immutable = ({ Properties }: Resource) => {
      const { BrokerName, EngineType, PubliclyAccessible, SecurityGroups, EncryptionOptions, SubnetIds } = Properties;
      return { BrokerName, EngineType, PubliclyAccessible, SecurityGroups, EncryptionOptions, SubnetIds };
    };
    const subnet = (n: number, id: string) => ({ Ref: `NetworkVpcBrokerSubnet${n}Subnet${id}` });
    const expected = {
      BrokerName: 'discord-ingestor-staging',
      EngineType: 'RABBITMQ',
      PubliclyAccessible: false,
      SecurityGroups: [{ 'Fn::GetAtt': ['BrokerAccess0B5E142C', 'GroupId'] }],
      EncryptionOptions: { UseAwsOwnedKey: true },
      SubnetIds: [subnet(1, '28F3D51E')],
    };
    const otherwise = synthesized('staging', { egress: 'nat', broker: { size: 'mq.m7g.large', engineVersion: '4.4' } });
    for (const some of [of('staging'), otherwise]) {
      const broker = some.one('AWS::AmazonMQ::Broker');
      expect(broker.id).toBe('Broker9AB50882');
      expect(immutable(broker)).toEqual(expected);
      const group = some.resources.get('BrokerAccess0B5E142C')?.Properties;
      expect(group?.GroupDescription).toBe('Discord ingestor: the broker');
    }
    // Nor does the way out move the subnet: the address is part of its identity.
    const address = (some: Synthesized) =>
      some.resources.get('NetworkVpcBrokerSubnet1Subnet28F3D51E')?.Properties.CidrBlock;
    expect(address(otherwise)).toBe(address(of('staging')));
  });

  it('descriptions of security groups never change: another one is another group, which the broker cannot take and the tasks are not in', () => {
    const descriptions = (environment: string) =>
      of(environment)
        .ofType('AWS::EC2::SecurityGroup')
        .map(([id, { Properties }]) => `${id}: ${Properties.GroupDescription}`);
    expect(descriptions('production')).toEqual([
      'NetworkFunctions0F81B4F4: Functions that administer the broker',
      'BrokerAccess0B5E142C: Discord ingestor: the broker',
      'Clients67031123: Clients of the broker: the ingestor and the workers',
      'IngestorEgress7BEBE5CF: Discord ingestor: out to Discord and AWS, nothing in',
    ]);
    expect(descriptions('staging')).toEqual(expect.arrayContaining(descriptions('production')));
    expect(descriptions('staging')).toContainEqual(
      expect.stringMatching(/^NetworkSecretsManagerAccess\w+: Endpoint of Secrets Manager$/),
    );
  });

  it('the configuration has a name of its own in each stack: that of a removed production is still there', () => {
    const { Name } = of('production').one('AWS::AmazonMQ::Configuration').Properties;
    const id = { 'Fn::Select': [2, { 'Fn::Split': ['/', { Ref: 'AWS::StackId' }] }] };
    const suffix = { 'Fn::Select': [0, { 'Fn::Split': ['-', id] }] };
    expect(Name).toEqual({ 'Fn::Join': ['', ['discord-ingestor-production-4-3-', suffix]] });
  });

  it('no name of a secret ends as Secrets Manager ends the ARN: in a hyphen and six characters', () => {
    const names = of('staging')
      .ofType('AWS::SecretsManager::Secret')
      .map(([, { Properties }]) => String(Properties.Name));
    expect(names).toContain('discord-ingestor/staging/broker-workers');
    for (const name of names) expect(name).not.toMatch(/-[^/-]{6}$/);
  });

  it('passwords are made once: how they are made never changes', () => {
    const made = of('staging')
      .ofType('AWS::SecretsManager::Secret')
      .flatMap(([id, { Properties }]) =>
        Properties.GenerateSecretString ? [[id, Properties.GenerateSecretString]] : [],
      );
    const host = of('staging').one('Custom::BrokerTopology').Properties.ManagementUrl as {
      'Fn::Join': [string, unknown[]];
    };
    const text = JSON.stringify(Object.fromEntries(made)).replaceAll(JSON.stringify(host['Fn::Join'][1][1]), '"HOST"');
    expect(JSON.parse(text)).toEqual({
      BrokerAdministratorAE06129D: {
        ExcludePunctuation: true,
        GenerateStringKey: 'password',
        PasswordLength: 40,
        SecretStringTemplate: '{"username":"administrator"}',
      },
      DeadLettersLogin0AFBCEEC: {
        ExcludePunctuation: true,
        GenerateStringKey: 'password',
        PasswordLength: 40,
        SecretStringTemplate: {
          'Fn::Join': ['', ['{"host":"', 'HOST', '","port":5671,"vhost":"discord","username":"dead-letters"}']],
        },
      },
      IngestorLogin32431250: {
        ExcludePunctuation: true,
        GenerateStringKey: 'password',
        PasswordLength: 40,
        SecretStringTemplate: {
          'Fn::Join': ['', ['{"host":"', 'HOST', '","port":5671,"vhost":"discord","username":"ingestor"}']],
        },
      },
      WorkerLogin403675AE: {
        ExcludePunctuation: true,
        GenerateStringKey: 'password',
        PasswordLength: 40,
        SecretStringTemplate: {
          'Fn::Join': ['', ['{"host":"', 'HOST', '","port":5671,"vhost":"discord","username":"worker"}']],
        },
      },
    });
  });
});

describe('what the service takes from the broker stack', () => {
  it.each(environments)(
    '%s: is imported, so that CloudFormation refuses to change or remove it while it is used',
    (environment) => {
      const { broker, service } = templatesOf(of(environment));
      expect(JSON.stringify([broker, service])).not.toContain('Fn::GetStackOutput');
      const exported = exportsOf(broker);
      const imported = [...imports(service)];
      expect(imported.length).toBeGreaterThanOrEqual(6);
      for (const name of imported) expect([...exported.keys()]).toContain(name);
    },
  );

  it.each<[string, 'staging' | 'production', Choices]>([
    ['staging', 'staging', {}],
    ['production', 'production', {}],
    ['production whose tasks leave the NAT gateways', 'production', { egress: 'public-ip', natGateways: 2 }],
    [
      'staging with a token of yours',
      'staging',
      { discordTokenSecretArn: `${'arn:aws:secretsmanager:eu-central-1:111122223333:secret:theirs'}-AbCdEf` },
    ],
  ])('%s: is exported even when the service does not take it any more', (_, environment, choices) => {
    const alone = new App({ context: { 'aws:cdk:bundling-stacks': [] } });
    const settings = settingsFor(environment, choices);
    const exported = exportsOf(
      Template.fromStack(
        new BrokerStack(alone, `discord-ingestor-${environment}-broker`, { settings }),
      ).toJSON() as never,
    );
    const { service } = templatesOf(of(environment));
    for (const name of imports(service)) expect([...exported.keys()]).toContain(name);
  });
});

describe('what a service may do for us', () => {
  it.each(environments)(
    '%s: roles are taken on for this account only, where the service says for whom',
    (environment) => {
      const roles = of(environment).ofType('AWS::IAM::Role');
      const trust = roles.flatMap(([id, { Properties }]) => {
        const { Statement } = Properties.AssumeRolePolicyDocument as {
          Statement: { Principal: { Service: string }; Condition?: unknown }[];
        };
        return Statement.map(({ Principal, Condition }) => ({ id, service: Principal.Service, Condition }));
      });
      const ours = { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } };
      for (const { id, service, Condition } of trust) {
        // Why not these: lib/service-roles.ts.
        const without = service === 'lambda.amazonaws.com' || id.includes('ExecutionRole');
        expect(Condition, id).toEqual(without ? undefined : ours);
      }
      expect(new Set(trust.map(({ service }) => service))).toEqual(
        new Set(['ecs-tasks.amazonaws.com', 'vpc-flow-logs.amazonaws.com', 'lambda.amazonaws.com']),
      );
      expect(trust.filter(({ service }) => service === 'ecs-tasks.amazonaws.com')).toHaveLength(2);
    },
  );

  it('the endpoint of Secrets Manager serves this account, with our secrets, and what functions do with them', () => {
    const { Properties } = of('staging').one('AWS::EC2::VPCEndpoint');
    const [statement, ...others] = (Properties.PolicyDocument as { Statement: Record<string, unknown>[] }).Statement;
    expect(others).toEqual([]);
    expect(statement).toMatchObject({
      Effect: 'Allow',
      Condition: { StringEquals: { 'aws:PrincipalAccount': { Ref: 'AWS::AccountId' } } },
    });
    expect(JSON.stringify(statement?.Resource)).toMatch(/:secretsmanager:.*:secret:discord-ingestor\/staging\/\*"/);
    // What the functions' own policies allow of Secrets Manager must pass through here.
    const used = statements('staging')
      .flatMap(({ Action }) => Action)
      .filter((action) => action.startsWith('secretsmanager:'));
    for (const action of used) expect(statement?.Action, action).toContain(action);
    expect(JSON.stringify(statement?.Action)).not.toContain('*');
  });

  it('flow logs are of rejected traffic', () => {
    for (const environment of environments) {
      expect(the(environment, 'AWS::EC2::FlowLog').Properties).toMatchObject({ TrafficType: 'REJECT' });
    }
  });
});

describe('the function that applies the topology', () => {
  it('learns from its environment where to do so, and with which secrets', () => {
    const { resources } = of('staging');
    const [, apply] = [...resources].find(([id]) => /^TopologyApply[0-9A-F]{8}$/.test(id)) ?? [];
    if (!apply) throw new Error('expected the function TopologyApply, got none');
    const { Variables } = apply.Properties.Environment as { Variables: Record<string, unknown> };
    const { managementUrl, administratorSecretArn, loginSecretArns } = MANAGEMENT_ENV;
    expect(JSON.stringify(Variables[managementUrl])).toMatch(/https:\/\//);
    expect(Variables[administratorSecretArn]).toEqual({ Ref: expect.stringContaining('Administrator') });
    const logins = JSON.stringify(Variables[loginSecretArns]);
    for (const user of Object.values(USERS)) expect(logins).toContain(`\\"${user}\\":\\"`);
    expect(Object.keys(of('staging').one('Custom::BrokerTopology').Properties).toSorted()).toEqual([
      'LoginSecretArns',
      'ManagementUrl',
      'Revision',
      'ServiceTimeout',
      'ServiceToken',
      'Topology',
    ]);
  });

  it("may tag the ingestor's login, and nothing else, with what was applied", () => {
    const tagging = statements('staging').filter(({ Action }) => Action.includes('secretsmanager:TagResource'));
    expect(tagging).toMatchObject([
      {
        Action: ['secretsmanager:TagResource'],
        Resource: [{ Ref: expect.stringContaining('IngestorLogin') }],
        Condition: { 'ForAllValues:StringEquals': { 'aws:TagKeys': [APPLIED_TAG] } },
      },
    ]);
  });
});

describe('choices', () => {
  const existing = {
    vpcId: 'vpc-0a1b2c3d',
    brokerSubnetIds: ['subnet-0000000a', 'subnet-0000000b', 'subnet-0000000c'],
    serviceSubnetIds: ['subnet-1000000a', 'subnet-1000000b'],
  };
  const arn = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:theirs-AbCdEf';

  it('an existing network is used by the ids given, and none is made', () => {
    const { ofType, one } = synthesized('production', {
      network: { existing },
      region: 'eu-central-1',
      account: '111122223333',
    });
    expect(ofType('AWS::EC2::VPC')).toEqual([]);
    expect(ofType('AWS::EC2::Subnet')).toEqual([]);
    expect(one('AWS::AmazonMQ::Broker').Properties.SubnetIds).toEqual(existing.brokerSubnetIds);
    expect(JSON.stringify(one('AWS::ECS::Service').Properties.NetworkConfiguration)).toContain(
      JSON.stringify(existing.serviceSubnetIds),
    );
  });

  it('an existing broker gets rules, topology and logins, and is neither made nor given log settings', () => {
    const { ofType, one } = synthesized('staging', {
      network: { existing: { ...existing, brokerSubnetIds: ['subnet-0000000a'] } },
      broker: {
        existing: {
          name: 'theirs',
          host: 'b-1.mq.eu-central-1.on.aws',
          administratorSecretArn: arn,
          securityGroupId: 'sg-0a1b2c3d',
        },
      },
    });
    expect(ofType('AWS::AmazonMQ::Broker')).toEqual([]);
    expect(ofType('Custom::BrokerLogGroup')).toEqual([]);
    expect(ofType('AWS::EC2::SecurityGroupIngress').map(([, { Properties }]) => Properties.GroupId)).toContain(
      'sg-0a1b2c3d',
    );
    expect(one('Custom::BrokerTopology').Properties).toMatchObject({
      ManagementUrl: 'https://b-1.mq.eu-central-1.on.aws',
    });
    const alarms = JSON.stringify(ofType('AWS::CloudWatch::Alarm'));
    expect(alarms).toContain('{"Name":"Broker","Value":"theirs"}');
  });

  it('a token that is somewhere already is used from there', () => {
    const { ofType, outputs } = synthesized('staging', { discordTokenSecretArn: arn });
    expect(outputs.has('PutDiscordToken')).toBe(false);
    expect(JSON.stringify(ofType('AWS::ECS::TaskDefinition'))).toContain(arn);
    // The tasks that read the stack's own go after this stack's update: it stays.
    expect(ofType('AWS::SecretsManager::Secret').map(([id]) => id)).toContain('DiscordTokenValue');
  });

  it('ECS Exec needs a writable root file system, and gets it', () => {
    const { one } = synthesized('staging', { task: { execEnabled: true } });
    const task = one('AWS::ECS::TaskDefinition').Properties;
    expect(task.ContainerDefinitions).toMatchObject([{ ReadonlyRootFilesystem: false }]);
    expect(one('AWS::ECS::Service').Properties.EnableExecuteCommand).toBe(true);
  });

  it('an e-mail address is subscribed to the alarms', () => {
    const emails = (alarmEmail: string | string[]) =>
      synthesized('staging', { alarmEmail }).ofType('AWS::SNS::Subscription');
    const [first, ...others] = emails('ops@example.com');
    expect(others).toEqual([]);
    expect(first?.[1].Properties).toMatchObject({ Protocol: 'email', Endpoint: 'ops@example.com' });
    // Another one beside it leaves the first alone, which would have to be confirmed again.
    const two = emails(['new@example.com', 'ops@example.com']);
    expect(two.map(([, resource]) => resource.Properties.Endpoint)).toEqual(['new@example.com', 'ops@example.com']);
    expect(two.map(([id]) => id)).toContain(first?.[0]);
  });

  it('many shards are groups, each with a task and a lease queue', () => {
    const { one } = synthesized('staging', { shards: { count: 40, perTask: 16, standbys: 2 } });
    expect(one('AWS::ECS::Service').Properties.DesiredCount).toBe(5);
    const { Queues } = one('Custom::BrokerTopology').Properties.Topology as { Queues: object };
    expect(Object.keys(Queues).filter((name) => name.startsWith('ingestor.lease.'))).toHaveLength(3);
  });

  it('secrets encrypted with a key of yours: who reads them may decrypt, through Secrets Manager only', () => {
    const key = (name: string) => `arn:aws:kms:eu-central-1:111122223333:key/${name}`;
    const made = synthesized('staging', {
      discordTokenSecretArn: arn,
      discordTokenKeyArn: key('token'),
      network: { existing: { ...existing, brokerSubnetIds: ['subnet-0000000a'] } },
      broker: {
        existing: {
          name: 'theirs',
          host: 'b-1.mq.eu-central-1.on.aws',
          administratorSecretArn: arn,
          administratorKeyArn: key('administrator'),
          securityGroupId: 'sg-0a1b2c3d',
        },
      },
    });
    const decrypting = made.ofType('AWS::IAM::Policy').flatMap(([id, { Properties }]) => {
      const { Statement } = Properties.PolicyDocument as {
        Statement: { Action: unknown; Resource: unknown; Condition?: unknown }[];
      };
      return Statement.filter(({ Action }) => [Action].flat().includes('kms:Decrypt')).map((statement) => ({
        id,
        ...statement,
      }));
    });
    const readers = decrypting.map(
      ({ id, Resource }) => `${/(TopologyApply|RotationRotate|TaskRole)/.exec(id)?.[1]}: ${Resource}`,
    );
    expect(readers.sort()).toEqual([
      `RotationRotate: ${key('administrator')}`,
      `TaskRole: ${key('token')}`,
      `TopologyApply: ${key('administrator')}`,
    ]);
    for (const { Action, Condition } of decrypting) {
      expect(Action).toBe('kms:Decrypt');
      expect(JSON.stringify(Condition)).toMatch(/"kms:ViaService".*secretsmanager\..*amazonaws\.com/);
    }
  });

  it('functions keep their way out as long as there may be gateways: they leave those subnets during the update', () => {
    const out = (choices: Choices) =>
      synthesized('production', choices)
        .ofType('AWS::EC2::SecurityGroup')
        .filter(([id]) => id.startsWith('NetworkFunctions'))
        .some(([, { Properties }]) => JSON.stringify(Properties.SecurityGroupEgress ?? []).includes('"0.0.0.0/0"'));
    expect(out({})).toBe(true);
    expect(out({ egress: 'public-ip', natGateways: 2 })).toBe(true);
    expect(out({ egress: 'public-ip', network: { existing } })).toBe(true);
    expect(out({ egress: 'public-ip' })).toBe(false);
  });

  it('two zones are enough, where three nodes are not wanted', () => {
    const zones = ({ ofType }: Synthesized) =>
      new Set(ofType('AWS::EC2::Subnet').map(([, { Properties }]) => JSON.stringify(Properties.AvailabilityZone)));
    expect(zones(of('staging')).size).toBe(2);
    expect(zones(of('production')).size).toBe(3);
    expect(zones(synthesized('production', { network: { zones: 2 }, broker: { nodes: 1 } })).size).toBe(2);
    const named = ['eu-west-1c', 'eu-west-1a'];
    expect([
      ...zones(synthesized('production', { network: { availabilityZones: named }, broker: { nodes: 1 } })),
    ]).toEqual(named.map((zone) => JSON.stringify(zone)));
  });

  it.each(Object.keys(BROKER_SIZES) as BrokerSize[])('a broker of %s can be synthesized', (size) => {
    expect(
      synthesized('production', { broker: { size } }).one('AWS::AmazonMQ::Broker').Properties.HostInstanceType,
    ).toBe(size);
  });

  it('the most groups that are accepted fit into a template, and twice into the event of an update', () => {
    const made = synthesized('production', {
      broker: { size: 'mq.m7g.4xlarge' },
      shards: { count: MOST_GROUPS, perTask: 1 },
    });
    expect(made.settings.groups).toBe(MOST_GROUPS);
    for (const stack of ['broker', 'service']) {
      const { size } = statSync(join(made.folder, `discord-ingestor-production-${stack}.template.json`));
      expect(size, stack).toBeLessThan(1_000_000);
    }
    expect(2 * JSON.stringify(made.one('Custom::BrokerTopology').Properties).length).toBeLessThan(950_000);
  });

  it('without rotation there is no schedule, and the function is there for a login that is leaked', () => {
    const { ofType, outputs } = synthesized('staging', { rotationDays: 0 });
    expect(ofType('AWS::SecretsManager::RotationSchedule')).toEqual([]);
    expect(ofType('AWS::Lambda::Function').filter(([id]) => id.startsWith('RotationRotate'))).toHaveLength(1);
    expect(ofType('AWS::Lambda::Permission')).toHaveLength(3);
    expect(outputs.get('LoginFunction')?.Value).toEqual({
      'Fn::GetAtt': [expect.stringMatching(/^RotationRotate/), 'Arn'],
    });
  });
});
