// What is in the templates of both environments, and what is not, each with its reason. Plain values: the snapshots.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { App } from 'aws-cdk-lib';
import { describe, expect, it } from 'vitest';
import { environmentStacks } from '../../lib/environment.ts';
import { type Choices, type Environment, MOST_GROUPS, type Settings, settingsFor } from '../../lib/settings.ts';
import type { StackMetadata } from '../../lib/stack-identity.ts';
import { fromProperties, type ResourceProperties } from '../../lib/topology/resource-properties.ts';
import { BOUNDS, STOP_TIMEOUT_SECONDS } from '../../service/contract/limits.ts';
import { BROKER, inNetwork, keyArn, NETWORK, secretArn, withBroker } from '../support/choices.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';
import { exportsOf, imports, references, templatesOf } from './dependencies.ts';

const both = { staging: synthesized('staging'), production: synthesized('production') };
const environments = Object.entries(both) as [Environment, Synthesized][];
const { staging, production } = both;

interface Statement {
  readonly where: string;
  readonly Action: string[];
  readonly Resource: unknown[];
  readonly Effect: string;
  readonly Condition?: unknown;
}

function statements({ ofType }: Synthesized): Statement[] {
  return ofType('AWS::IAM::Policy').flatMap(([id, { Properties }]) =>
    (Properties.PolicyDocument as { Statement: Statement[] }).Statement.map((statement) => ({
      ...statement,
      where: /TopologyApply|RotationRotate|TaskRole/.exec(id)?.[0] ?? id,
      Action: [statement.Action].flat(),
      Resource: [statement.Resource].flat(),
    })),
  );
}

const artifactOf = ({ folder, settings }: Synthesized, stack: string) =>
  JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')).artifacts[
    `discord-ingestor-${settings.environment}-${stack}`
  ];

describe.each(environments)('%s', (environment, made) => {
  const { ofType, one, resources, outputs } = made;

  it('has no way in but from clients to 5671, from functions to 443, and from functions to Secrets Manager', () => {
    const name = (group: unknown) =>
      /BrokerAccess|Clients|NetworkFunctions|SecretsManagerAccess/.exec(JSON.stringify(group))?.[0];
    const rules = ofType('AWS::EC2::SecurityGroupIngress').map(
      ([, { Properties }]) =>
        `${name(Properties.SourceSecurityGroupId)} → ${name(Properties.GroupId)}:${Properties.ToPort}`,
    );
    expect(rules.sort()).toEqual([
      'Clients → BrokerAccess:5671',
      'NetworkFunctions → BrokerAccess:443',
      // The test of a rotated login.
      'NetworkFunctions → BrokerAccess:5671',
      ...(environment === 'staging' ? ['NetworkFunctions → SecretsManagerAccess:443'] : []),
    ]);
    const inline = ofType('AWS::EC2::SecurityGroup').filter(([, { Properties }]) => Properties.SecurityGroupIngress);
    expect(inline).toEqual([]);
  });

  it('keeps the broker private, in subnets without a way to the internet', () => {
    const broker = one('AWS::AmazonMQ::Broker').Properties;
    expect(broker).toMatchObject({ PubliclyAccessible: false, AutoMinorVersionUpgrade: true, Logs: { General: true } });
    expect(JSON.stringify(broker.SubnetIds)).not.toMatch(/Public|Service/);
    expect(ofType('AWS::EC2::Route').filter(([id]) => id.includes('Broker'))).toEqual([]);
  });

  it('contains no secret: passwords are references, and the token is empty until a person stores it', () => {
    const { Users } = one('AWS::AmazonMQ::Broker').Properties;
    expect(JSON.stringify(Users)).toMatch(/"\{\{resolve:secretsmanager:",\{"Ref":"\w+"\},":SecretString:password::/);
    expect(JSON.stringify([...resources, ...outputs]).match(/resolve:secretsmanager/g)).toHaveLength(1);
    for (const [id, { Properties }] of ofType('AWS::SecretsManager::Secret')) {
      expect(Properties, id).not.toHaveProperty('SecretString');
      expect('GenerateSecretString' in Properties, id).toBe(id !== 'DiscordTokenValue');
    }
  });

  it('lets each secret be read by its readers only', () => {
    const readers: Record<string, string[]> = {};
    for (const { where, Action, Resource } of statements(made)) {
      if (!Action.includes('secretsmanager:GetSecretValue')) continue;
      for (const resource of Resource) {
        const secret = /Administrator|DiscordToken|\w+Login/.exec(JSON.stringify(resource).replace(/.*Ref/, ''))?.[0];
        readers[secret ?? '*'] = [...(readers[secret ?? '*'] ?? []), where].sort();
      }
    }
    expect(readers).toEqual({
      Administrator: ['RotationRotate', 'TopologyApply'],
      DeadLettersLogin: ['RotationRotate', 'TopologyApply'],
      DiscordToken: ['TaskRole'],
      IngestorLogin: ['RotationRotate', 'TaskRole', 'TopologyApply'],
      WorkerLogin: ['RotationRotate', 'TopologyApply'],
    });
  });

  it('gives every log group an end, and every function a log group of the stack', () => {
    for (const [id, { Properties }] of ofType('AWS::Logs::LogGroup'))
      expect(Properties.RetentionInDays, id).toBeGreaterThan(0);
    for (const [id, { Properties }] of ofType('AWS::Lambda::Function'))
      expect(Properties.LoggingConfig, id).toMatchObject({ LogGroup: { Ref: expect.any(String) } });
  });

  // CloudFormation makes a call when the call's properties change, also in a rollback.
  it("makes the broker's log groups again with each change of the retention, whether Amazon MQ or a person was first", () => {
    const changed = synthesized(environment, { logRetentionDays: 30 }).resources;
    const groups = ofType('Custom::BrokerLogGroup');
    for (const [id, { Properties }] of groups) {
      expect(changed.get(id)?.Properties, id).not.toEqual(Properties);
      expect(Properties.Update).toEqual(Properties.Create);
      expect(JSON.stringify(Properties.Create)).toContain('ResourceAlreadyExistsException');
      // Staging removes it, also where it is gone.
      const removal = environment === 'production' ? 'none' : 'ResourceNotFoundException';
      expect(JSON.stringify(Properties.Delete ?? 'none')).toContain(removal);
    }
    const retentions = ofType('Custom::BrokerLogRetention').map(([, { DependsOn }]) => DependsOn);
    expect(retentions).toHaveLength(3);
    for (const dependsOn of retentions) expect(groups.some(([id]) => dependsOn?.includes(id))).toBe(true);
    // An update of something else calls nothing.
    expect(synthesized(environment, { shards: { count: 2 } }).ofType('Custom::BrokerLogGroup')).toEqual(groups);
  });

  it('applies the topology before the first task, and after every rule on the way to the broker', () => {
    const { DependsOn } = one('Custom::BrokerTopology');
    const rules = [...ofType('AWS::EC2::SecurityGroupIngress'), ...ofType('AWS::EC2::SecurityGroupEgress')];
    const routes = ofType('AWS::EC2::Route').filter(([id]) => id.includes('ServiceSubnet'));
    const ways = [...rules, ...routes].map(([id]) => id).filter((id) => !id.startsWith('Clients'));
    expect(ways.length).toBeGreaterThan(4);
    for (const id of ways) expect(DependsOn).toContain(id);
    expect(artifactOf(made, 'service').dependencies).toContain(`discord-ingestor-${environment}-broker`);
    // No account and no region: a synthesis needs no credentials.
    expect(artifactOf(made, 'broker').environment).toBe('aws://unknown-account/unknown-region');
  });

  it('rotates every login, not at once, and only when their users exist', () => {
    const schedules = ofType('AWS::SecretsManager::RotationSchedule');
    expect(schedules).toHaveLength(3);
    for (const [, { Properties, DependsOn }] of schedules) {
      expect(Properties.RotateImmediatelyOnUpdate).toBe(false);
      expect(DependsOn?.some((id) => id.startsWith('Topology'))).toBe(true);
    }
    for (const [id, { Properties }] of ofType('AWS::Lambda::Permission')) {
      // Secrets Manager of this account only, and for this secret only.
      expect(Properties, id).toMatchObject({
        SourceAccount: { Ref: 'AWS::AccountId' },
        SourceArn: { Ref: expect.stringMatching(/^(Ingestor|Worker|DeadLetters)Login/) },
      });
    }
  });

  it('runs the task with nothing it does not need', () => {
    expect(one('AWS::ECS::TaskDefinition').Properties.ContainerDefinitions).toEqual([
      expect.objectContaining({
        ...{ User: '65532:65532', ReadonlyRootFilesystem: true, StopTimeout: STOP_TIMEOUT_SECONDS },
        LinuxParameters: { Capabilities: { Drop: ['ALL'] }, InitProcessEnabled: true },
      }),
    ]);
    expect(JSON.stringify(one('AWS::ECS::TaskDefinition').Properties)).not.toMatch(/PortMappings|"Secrets"/);
  });

  it('rolls back by alarms that exist before the service, for as long as the slowest of them needs', () => {
    const { Alarms, BakeTimeInMinutes } = one('AWS::ECS::Service').Properties.DeploymentConfiguration as {
      Alarms: { AlarmNames: string[] };
      BakeTimeInMinutes: number;
    };
    // Created minutes before the service: an alarm for which missing data is breaching is on by then, so that ECS does not
    // fail the first deployment while its image is being pulled.
    const early = Object.values(templatesOf(made).broker.Resources).map(({ Properties }) => Properties?.AlarmName);
    for (const name of Alarms.AlarmNames) expect(early).toContain(name);
    const service = one('AWS::ECS::Service').id;
    for (const [id, { Properties, DependsOn }] of ofType('AWS::CloudWatch::Alarm')) {
      if (Alarms.AlarmNames.includes(String(Properties.AlarmName))) {
        // A minute until a task's first line, and some until CloudWatch has evaluated.
        expect(BakeTimeInMinutes).toBeGreaterThanOrEqual(Number(Properties.EvaluationPeriods) + 3);
      } else if (Properties.TreatMissingData === 'breaching') {
        expect(DependsOn, id).toContain(service);
      }
    }
    // A person waits for it.
    expect(BakeTimeInMinutes).toBeLessThanOrEqual(15);
  });

  it('lets a service assume roles for this account only, where the service documents it', () => {
    for (const [id, { Properties }] of ofType('AWS::IAM::Role')) {
      const { Statement: list } = Properties.AssumeRolePolicyDocument as {
        Statement: { Principal: { Service: string }; Condition?: unknown }[];
      };
      // The reasons: lib/service-roles.ts.
      const without = id.includes('ExecutionRole') || list[0]?.Principal.Service === 'lambda.amazonaws.com';
      const ours = { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } };
      expect(list, id).toEqual([expect.objectContaining(without ? {} : { Condition: ours })]);
      if (without) expect(list[0], id).not.toHaveProperty('Condition');
    }
  });

  it('imports what the service takes from the broker stack, so that CloudFormation refuses to change it while in use', () => {
    const { broker, service } = templatesOf(made);
    expect(JSON.stringify([broker, service])).not.toContain('Fn::GetStackOutput');
    expect(imports(service).size).toBeGreaterThanOrEqual(6);
    for (const name of imports(service)) expect([...exportsOf(broker).keys()]).toContain(name);
  });
});

describe('what outlives a deployment', () => {
  const keptBy = ({ resources }: Synthesized) =>
    [...resources].filter(([, { DeletionPolicy }]) => DeletionPolicy?.startsWith('Retain'));
  const typesOf = (made: Synthesized) => new Set(keptBy(made).map(([, { Type }]) => Type));

  it('both stacks of production refuse to be destroyed, those of staging do not', () => {
    const guarded = (made: Synthesized) =>
      ['broker', 'service'].map((stack) => Boolean(artifactOf(made, stack).properties.terminationProtection));
    // Both: `cdk destroy` begins with the service.
    expect(guarded(production)).toEqual([true, true]);
    expect(guarded(staging)).toEqual([false, false]);
  });

  it('production keeps what holds data, but not after a failed first creation: its names would be taken', () => {
    for (const type of ['AmazonMQ::Broker', 'AmazonMQ::Configuration', 'Logs::LogGroup'])
      expect(typesOf(production)).toContain(`AWS::${type}`);
    for (const [id, { DeletionPolicy, UpdateReplacePolicy }] of keptBy(production))
      expect([DeletionPolicy, UpdateReplacePolicy], id).toEqual(['RetainExceptOnCreate', 'Retain']);
    for (const secret of production.ofType('AWS::SecretsManager::Secret'))
      expect(keptBy(production)).toContainEqual(secret);
  });

  it.each<Choices>([{}, { broker: { nodes: 1 }, egress: 'public-ip' }])(
    'production, %j: what a kept resource refers to is kept, or it could not be deleted or adopted',
    (choices) => {
      const made = synthesized('production', choices);
      const kept = new Set(keptBy(made).map(([id]) => id));
      for (const template of Object.values(templatesOf(made)))
        for (const id of Object.keys(template.Resources).filter((each) => kept.has(each))) {
          const others = references(template.Resources[id]?.Properties, template).filter((other) => !kept.has(other));
          expect(others, id).toEqual([]);
        }
    },
  );

  it('staging leaves nothing behind, and one setting decides', () => {
    expect(keptBy(staging)).toEqual([]);
    const build = (app: App, settings: Settings) => environmentStacks(app, { ...settings, keepsData: true });
    expect(typesOf(synthesized('staging', {}, undefined, build))).toEqual(typesOf(production));
  });

  it('stacks and templates carry their owner and their settings', () => {
    const build = (app: App, settings: Settings) => environmentStacks(app, settings, 'bot-1');
    const made = synthesized('staging', { shards: { count: 2 } }, undefined, build);
    for (const [stack, template] of Object.entries(templatesOf(made))) {
      const tags = { Application: 'discord-ingestor', Environment: 'staging', Instance: 'bot-1' };
      expect(artifactOf(made, stack).properties.tags).toEqual(tags);
      const { Metadata = {} } = template as { Metadata?: Record<string, StackMetadata> };
      expect(Metadata.DiscordIngestor?.instance).toBe('bot-1');
      expect(settingsFor('staging', Metadata.DiscordIngestor?.settings)).toEqual(made.settings);
    }
  });

  it('descriptions of security groups never change: another one is another group, which the broker cannot take', () => {
    const groups = staging.ofType('AWS::EC2::SecurityGroup');
    expect(groups.map(([id, { Properties }]) => `${id}: ${Properties.GroupDescription}`).sort()).toEqual([
      'BrokerAccess0B5E142C: Discord ingestor: the broker',
      'Clients67031123: Clients of the broker: the ingestor and the workers',
      'IngestorEgress7BEBE5CF: Discord ingestor: out to Discord and AWS, nothing in',
      'NetworkFunctions0F81B4F4: Functions that administer the broker',
      'NetworkSecretsManagerAccessC37831AE: Endpoint of Secrets Manager',
    ]);
  });

  it('no name of a secret ends like its ARN: in a hyphen and six characters', () => {
    const names = staging.ofType('AWS::SecretsManager::Secret').map(([, { Properties }]) => String(Properties.Name));
    expect(names).toContain('discord-ingestor/staging/broker-workers');
    for (const name of names) expect(name).not.toMatch(/-[^/-]{6}$/);
  });
});

it('the endpoint of Secrets Manager serves this account, with our secrets, and what functions do with them', () => {
  const { Statement: list } = staging.one('AWS::EC2::VPCEndpoint').Properties.PolicyDocument as {
    Statement: Statement[];
  };
  const ours = { StringEquals: { 'aws:PrincipalAccount': { Ref: 'AWS::AccountId' } } };
  expect(list).toEqual([expect.objectContaining({ Effect: 'Allow', Condition: ours })]);
  expect(JSON.stringify(list[0]?.Resource)).toMatch(/:secretsmanager:.*:secret:discord-ingestor\/staging\/\*"/);
  // What the functions' own policies allow of Secrets Manager must pass through here.
  const actions = statements(staging).flatMap(({ Action }) => Action);
  for (const action of actions.filter((each) => each.startsWith('secretsmanager:')))
    expect(list[0]?.Action).toContain(action);
  expect(JSON.stringify(list[0]?.Action)).not.toContain('*');
});

describe('choices', () => {
  it('an existing network is used by the ids given, and none is created', () => {
    const { ofType, one } = synthesized('staging', { ...inNetwork(), region: 'eu-central-1' });
    expect([...ofType('AWS::EC2::VPC'), ...ofType('AWS::EC2::Subnet')]).toEqual([]);
    expect(one('AWS::AmazonMQ::Broker').Properties.SubnetIds).toEqual(NETWORK.brokerSubnetIds);
    const { NetworkConfiguration } = one('AWS::ECS::Service').Properties;
    expect(JSON.stringify(NetworkConfiguration)).toContain(JSON.stringify(NETWORK.serviceSubnetIds));
  });

  it('an existing broker gets rules, topology and logins, and no log settings', () => {
    const { ofType, one } = synthesized('staging', withBroker());
    expect([...ofType('AWS::AmazonMQ::Broker'), ...ofType('Custom::BrokerLogGroup')]).toEqual([]);
    const groups = ofType('AWS::EC2::SecurityGroupIngress').map(([, { Properties }]) => Properties.GroupId);
    expect(groups).toContain(BROKER.securityGroupId);
    expect(one('Custom::BrokerTopology').Properties.ManagementUrl).toBe(`https://${BROKER.host}`);
    expect(JSON.stringify(ofType('AWS::CloudWatch::Alarm'))).toContain('{"Name":"Broker","Value":"theirs"}');
  });

  it('a token in an existing secret is read there', () => {
    const { ofType, outputs } = synthesized('staging', { discordTokenSecretArn: secretArn('token') });
    expect(outputs.has('PutDiscordToken')).toBe(false);
    expect(JSON.stringify(ofType('AWS::ECS::TaskDefinition'))).toContain(secretArn('token'));
    // The tasks that read the stack's own secret end after this stack's update: it stays.
    expect(ofType('AWS::SecretsManager::Secret').map(([id]) => id)).toContain('DiscordTokenValue');
  });

  it('secrets with a key of their own: readers may decrypt, through Secrets Manager only', () => {
    const made = synthesized('staging', {
      ...withBroker({ administratorKeyArn: keyArn('administrator') }),
      ...{ discordTokenSecretArn: secretArn('token'), discordTokenKeyArn: keyArn('token') },
    });
    const decrypting = statements(made).filter(({ Action }) => Action.includes('kms:Decrypt'));
    expect(decrypting.map(({ where, Resource }) => `${where}: ${Resource}`).sort()).toEqual([
      `RotationRotate: ${keyArn('administrator')}`,
      `TaskRole: ${keyArn('token')}`,
      `TopologyApply: ${keyArn('administrator')}`,
    ]);
    for (const { Action, Condition } of decrypting) {
      expect(Action).toEqual(['kms:Decrypt']);
      expect(JSON.stringify(Condition)).toMatch(/"kms:ViaService".*secretsmanager\..*amazonaws\.com/);
    }
  });

  it('ECS Exec gets the writable root file system that it needs', () => {
    for (const execEnabled of [true, false]) {
      const { ofType, one } = synthesized('production', { task: { execEnabled } });
      const { ContainerDefinitions } = one('AWS::ECS::TaskDefinition').Properties;
      const InitProcessEnabled = { LinuxParameters: { InitProcessEnabled: true } };
      expect(ContainerDefinitions).toMatchObject([{ ReadonlyRootFilesystem: !execEnabled, ...InitProcessEnabled }]);
      expect(one('AWS::ECS::Service').Properties.EnableExecuteCommand).toBe(execEnabled);
      expect(JSON.stringify(ofType('AWS::IAM::Policy')).includes('ssmmessages:')).toBe(execEnabled);
    }
  });

  it('an e-mail address is subscribed to pages and notices, and a second one leaves the first alone', () => {
    const emails = (alarmEmail: string | string[]) =>
      synthesized('staging', { alarmEmail })
        .ofType('AWS::SNS::Subscription')
        .map(([id, { Properties }]) => [id, Properties.Protocol, Properties.Endpoint]);
    const one = emails('ops@example.com');
    const subscription = [expect.any(String), 'email', 'ops@example.com'];
    expect(one).toEqual([subscription, subscription]);
    // A changed subscription would have to be confirmed again.
    const two = emails(['new@example.com', 'ops@example.com']);
    expect(two).toHaveLength(4);
    expect(two).toEqual(expect.arrayContaining(one));
  });

  it.each<[Choices, boolean]>([
    [{}, true],
    [{ egress: 'public-ip', natGateways: 2 }, true],
    [{ egress: 'public-ip', broker: { nodes: 1 }, ...inNetwork() }, true],
    [{ egress: 'public-ip' }, false],
  ])('%j: functions have a way out as long as there may be gateways: %s', (choices, out) => {
    const groups = synthesized('production', choices).ofType('AWS::EC2::SecurityGroup');
    const [, functions] = groups.find(([id]) => id.startsWith('NetworkFunctions')) ?? [];
    expect(JSON.stringify(functions?.Properties.SecurityGroupEgress ?? []).includes('"0.0.0.0/0"')).toBe(out);
  });

  it('named zones are used in their order', () => {
    const network = { availabilityZones: ['eu-west-1c', 'eu-west-1a'] };
    const { ofType } = synthesized('production', { network, broker: { nodes: 1 } });
    const zones = ofType('AWS::EC2::Subnet').map(([, { Properties }]) => Properties.AvailabilityZone);
    expect([...new Set(zones)]).toEqual(network.availabilityZones);
  });

  it('the most groups that are accepted fit into a template, and twice into the event of an update', () => {
    const shards = { count: BOUNDS.shardCount.most, perTask: BOUNDS.shardCount.most / MOST_GROUPS };
    const made = synthesized('production', { ...withBroker(), shards });
    expect(made.one('AWS::ECS::Service').Properties.DesiredCount).toBe(MOST_GROUPS + 1);
    const { Queues } = made.one('Custom::BrokerTopology').Properties.Topology as { Queues: object };
    expect(Object.keys(Queues).filter((queue) => queue.startsWith('ingestor.lease.'))).toHaveLength(MOST_GROUPS);
    for (const stack of ['broker', 'service']) {
      const { size } = statSync(join(made.folder, `discord-ingestor-production-${stack}.template.json`));
      expect(size, stack).toBeLessThan(1_000_000);
    }
    expect(2 * JSON.stringify(made.one('Custom::BrokerTopology').Properties).length).toBeLessThan(950_000);
  });

  it('a further worker has a rotated secret and an output of its own, and may read its queue only', () => {
    const queues = { 'events.analytics': { keys: ['member.#'], maxMessages: 5 } };
    const workers = { analytics: { queues: ['events.analytics'] } };
    const { ofType, outputs, one } = synthesized('production', { queues, workers });
    const secrets = ofType('AWS::SecretsManager::Secret').map(([, { Properties }]) => Properties.Name);
    expect(secrets).toContain('discord-ingestor/production/broker-worker/analytics');
    expect(ofType('AWS::SecretsManager::RotationSchedule')).toHaveLength(4);
    expect(JSON.stringify(outputs.get('AnalyticsLoginSecret')?.Value)).toMatch(/AnalyticsLogin/);
    const { LoginSecretArns, Topology } = one('Custom::BrokerTopology').Properties as unknown as ResourceProperties;
    expect(LoginSecretArns.analytics).toEqual({ Ref: expect.stringMatching(/^AnalyticsLogin/) });
    const { users, policies } = fromProperties(Topology);
    const user = users.find(({ name }) => name === 'analytics');
    expect(user?.permissions).toEqual({ configure: '', write: '', read: '^events\\.analytics$' });
    expect(user?.limits).toEqual(users.find(({ name }) => name === 'worker')?.limits);
    const policy = policies.find(({ name }) => name === 'events.analytics');
    expect(policy?.definition).toMatchObject({ 'max-length': 5, overflow: 'drop-head' });
  });

  it('without rotation there is no schedule, and still the function for a leaked login', () => {
    const { ofType, outputs } = synthesized('staging', { rotationDays: 0 });
    expect(ofType('AWS::SecretsManager::RotationSchedule')).toEqual([]);
    expect(ofType('AWS::Lambda::Permission')).toHaveLength(3);
    const rotate = expect.stringMatching(/^RotationRotate/);
    expect(outputs.get('LoginFunction')?.Value).toEqual({ 'Fn::GetAtt': [rotate, 'Arn'] });
  });
});
