// What the templates of both environments must contain and must not contain. Plain values: the snapshots.
import { globSync, readFileSync, statSync } from 'node:fs';
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

  it('allows inbound traffic only from clients to 5671 and from functions to the broker and Secrets Manager', () => {
    const name = (group: unknown) =>
      /BrokerAccess|Clients|NetworkFunctions|SecretsManagerAccess/.exec(JSON.stringify(group))?.[0];
    const rules = ofType('AWS::EC2::SecurityGroupIngress').map(
      ([, { Properties }]) =>
        `${name(Properties.SourceSecurityGroupId)} → ${name(Properties.GroupId)}:${Properties.ToPort}`,
    );
    expect(rules.sort()).toEqual([
      'Clients → BrokerAccess:5671',
      'NetworkFunctions → BrokerAccess:443',
      // The rotation tests the new login.
      'NetworkFunctions → BrokerAccess:5671',
      ...(environment === 'staging' ? ['NetworkFunctions → SecretsManagerAccess:443'] : []),
    ]);
    const inline = ofType('AWS::EC2::SecurityGroup').filter(([, { Properties }]) => Properties.SecurityGroupIngress);
    expect(inline).toEqual([]);
  });

  it('keeps the broker private, in subnets without a route to the internet', () => {
    const broker = one('AWS::AmazonMQ::Broker').Properties;
    expect(broker).toMatchObject({ PubliclyAccessible: false, AutoMinorVersionUpgrade: true, Logs: { General: true } });
    expect(JSON.stringify(broker.SubnetIds)).not.toMatch(/Public|Service/);
    expect(ofType('AWS::EC2::Route').filter(([id]) => id.includes('Broker'))).toEqual([]);
  });

  it('contains no secret: passwords are references, and the token has no value until a person stores it', () => {
    const { Users } = one('AWS::AmazonMQ::Broker').Properties;
    expect(JSON.stringify(Users)).toMatch(/"\{\{resolve:secretsmanager:",\{"Ref":"\w+"\},":SecretString:password::/);
    expect(JSON.stringify([...resources, ...outputs]).match(/resolve:secretsmanager/g)).toHaveLength(1);
    for (const [id, { Properties }] of ofType('AWS::SecretsManager::Secret')) {
      expect(Properties, id).not.toHaveProperty('SecretString');
      expect('GenerateSecretString' in Properties, id).toBe(id !== 'DiscordTokenValue');
    }
  });

  it('lets only the intended roles read each secret', () => {
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

  it('tags every resource that can be tagged with its application and its environment', () => {
    const tagged = [...resources].filter(([, { Properties }]) => Array.isArray(Properties?.Tags));
    expect(tagged.length).toBeGreaterThan(50);
    const owner = Object.entries({ Application: 'discord-ingestor', Environment: environment });
    for (const [id, { Properties }] of tagged)
      expect(Properties.Tags, id).toEqual(expect.arrayContaining(owner.map(([Key, Value]) => ({ Key, Value }))));
  });

  it('bundles its functions without what Node does not need, with source maps that have no source text', () => {
    const maps = globSync(join(made.folder, 'asset.*', 'index.js.map'));
    expect(maps).toHaveLength(2);
    for (const map of maps) {
      expect(JSON.parse(readFileSync(map, 'utf8'))).not.toHaveProperty('sourcesContent');
      const text = readFileSync(map.replace('.map', ''), 'utf8');
      expect(text).not.toMatch(/@license|\/\*!/);
      expect(text.length / text.split('\n').length).toBeGreaterThan(200);
    }
  });

  it('gives every log group a retention, and every function a log group of the stack', () => {
    for (const [id, { Properties }] of ofType('AWS::Logs::LogGroup'))
      expect(Properties.RetentionInDays, id).toBeGreaterThan(0);
    for (const [id, { Properties }] of ofType('AWS::Lambda::Function'))
      expect(Properties.LoggingConfig, id).toMatchObject({ LogGroup: { Ref: expect.any(String) } });
  });

  // CloudFormation calls a custom resource when its properties change, also in a rollback.
  it("creates the broker's log groups with each change of the retention, and accepts those that exist", () => {
    const changed = synthesized(environment, { logRetentionDays: 30 }).resources;
    const groups = ofType('Custom::BrokerLogGroup');
    for (const [id, { Properties }] of groups) {
      expect(changed.get(id)?.Properties, id).not.toEqual(Properties);
      expect(Properties.Update).toEqual(Properties.Create);
      expect(JSON.stringify(Properties.Create)).toContain('ResourceAlreadyExistsException');
      // Staging deletes the log group, and accepts that it no longer exists.
      const removal = environment === 'production' ? 'none' : 'ResourceNotFoundException';
      expect(JSON.stringify(Properties.Delete ?? 'none')).toContain(removal);
    }
    const retentions = ofType('Custom::BrokerLogRetention').map(([, { DependsOn }]) => DependsOn);
    expect(retentions).toHaveLength(3);
    for (const dependsOn of retentions) expect(groups.some(([id]) => dependsOn?.includes(id))).toBe(true);
    // Another change makes no call.
    expect(synthesized(environment, { shards: { count: 2 } }).ofType('Custom::BrokerLogGroup')).toEqual(groups);
  });

  it('applies the topology before the first task, and after every rule and route to the broker', () => {
    const { DependsOn } = one('Custom::BrokerTopology');
    const rules = [...ofType('AWS::EC2::SecurityGroupIngress'), ...ofType('AWS::EC2::SecurityGroupEgress')];
    const routes = ofType('AWS::EC2::Route').filter(([id]) => id.includes('ServiceSubnet'));
    const ways = [...rules, ...routes].map(([id]) => id).filter((id) => !id.startsWith('Clients'));
    expect(ways.length).toBeGreaterThan(4);
    for (const id of ways) expect(DependsOn).toContain(id);
    expect(artifactOf(made, 'service').dependencies).toContain(`discord-ingestor-${environment}-broker`);
    // A synthesis needs neither an account nor a region.
    expect(artifactOf(made, 'broker').environment).toBe('aws://unknown-account/unknown-region');
  });

  it('schedules the rotation of every login, which does not begin at once, and only after its users exist', () => {
    const schedules = ofType('AWS::SecretsManager::RotationSchedule');
    expect(schedules).toHaveLength(3);
    for (const [, { Properties, DependsOn }] of schedules) {
      expect(Properties.RotateImmediatelyOnUpdate).toBe(false);
      expect(DependsOn?.some((id) => id.startsWith('Topology'))).toBe(true);
    }
    for (const [id, { Properties }] of ofType('AWS::Lambda::Permission')) {
      // Secrets Manager calls the function only for this account and this secret.
      expect(Properties, id).toMatchObject({
        SourceAccount: { Ref: 'AWS::AccountId' },
        SourceArn: { Ref: expect.stringMatching(/^(Ingestor|Worker|DeadLetters)Login/) },
      });
    }
  });

  it('runs the task without privileges, capabilities and ports that it does not need', () => {
    expect(one('AWS::ECS::TaskDefinition').Properties.ContainerDefinitions).toEqual([
      expect.objectContaining({
        ...{ User: '65532:65532', ReadonlyRootFilesystem: true, StopTimeout: STOP_TIMEOUT_SECONDS },
        LinuxParameters: { Capabilities: { Drop: ['ALL'] }, InitProcessEnabled: true },
      }),
    ]);
    expect(JSON.stringify(one('AWS::ECS::TaskDefinition').Properties)).not.toMatch(/PortMappings|"Secrets"/);
  });

  it('rolls back by alarms that exist before the service, with a bake time that the slowest of them needs', () => {
    const { Alarms, BakeTimeInMinutes } = one('AWS::ECS::Service').Properties.DeploymentConfiguration as {
      Alarms: { AlarmNames: string[] };
      BakeTimeInMinutes: number;
    };
    // They are created minutes before the service: an alarm that treats missing data as breaching is already on, so that ECS
    // ignores it and does not fail the first deployment while its image is pulled.
    const early = Object.values(templatesOf(made).broker.Resources).map(({ Properties }) => Properties?.AlarmName);
    for (const name of Alarms.AlarmNames) expect(early).toContain(name);
    const service = one('AWS::ECS::Service').id;
    for (const [id, { Properties, DependsOn }] of ofType('AWS::CloudWatch::Alarm')) {
      if (Alarms.AlarmNames.includes(String(Properties.AlarmName))) {
        // One minute until a task's first line, and some until CloudWatch has evaluated it.
        expect(BakeTimeInMinutes).toBeGreaterThanOrEqual(Number(Properties.EvaluationPeriods) + 3);
      } else if (Properties.TreatMissingData === 'breaching') {
        expect(DependsOn, id).toContain(service);
      }
    }
    // A person waits for the deployment.
    expect(BakeTimeInMinutes).toBeLessThanOrEqual(15);
  });

  it('lets an AWS service assume a role only for this account, if the service supports that condition', () => {
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

  it('uses imports between the stacks, so that CloudFormation refuses to change an export in use', () => {
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

  it('both stacks of production have termination protection, those of staging do not', () => {
    const guarded = (made: Synthesized) =>
      ['broker', 'service'].map((stack) => Boolean(artifactOf(made, stack).properties.terminationProtection));
    // The service too: `cdk destroy` begins with it.
    expect(guarded(production)).toEqual([true, true]);
    expect(guarded(staging)).toEqual([false, false]);
  });

  it('production retains what holds data, except when the creation fails: its names would be in use', () => {
    for (const type of ['AmazonMQ::Broker', 'AmazonMQ::Configuration', 'Logs::LogGroup'])
      expect(typesOf(production)).toContain(`AWS::${type}`);
    for (const [id, { DeletionPolicy, UpdateReplacePolicy }] of keptBy(production))
      expect([DeletionPolicy, UpdateReplacePolicy], id).toEqual(['RetainExceptOnCreate', 'Retain']);
    for (const secret of production.ofType('AWS::SecretsManager::Secret'))
      expect(keptBy(production)).toContainEqual(secret);
  });

  it.each<Choices>([{}, { broker: { nodes: 1 }, egress: 'public-ip' }])(
    'production, %j: what a retained resource refers to is retained, or the resource could not be deleted or adopted',
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

  it('staging retains nothing, and one setting decides this', () => {
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

  it('descriptions of security groups never change: a change replaces the group, and the broker cannot change groups', () => {
    const groups = staging.ofType('AWS::EC2::SecurityGroup');
    expect(groups.map(([id, { Properties }]) => `${id}: ${Properties.GroupDescription}`).sort()).toEqual([
      'BrokerAccess0B5E142C: Discord ingestor: the broker',
      'Clients67031123: Clients of the broker: the ingestor and the workers',
      'IngestorEgress7BEBE5CF: Discord ingestor: out to Discord and AWS, nothing in',
      'NetworkFunctions0F81B4F4: Functions that administer the broker',
      'NetworkSecretsManagerAccessC37831AE: Endpoint of Secrets Manager',
    ]);
  });

  it('no name of a secret ends in a hyphen and six characters, like an ARN', () => {
    const names = staging.ofType('AWS::SecretsManager::Secret').map(([, { Properties }]) => String(Properties.Name));
    expect(names).toContain('discord-ingestor/staging/broker-workers');
    for (const name of names) expect(name).not.toMatch(/-[^/-]{6}$/);
  });
});

it('the endpoint of Secrets Manager allows only this account, our secrets, and the actions of our functions', () => {
  const { Statement: list } = staging.one('AWS::EC2::VPCEndpoint').Properties.PolicyDocument as {
    Statement: Statement[];
  };
  const ours = { StringEquals: { 'aws:PrincipalAccount': { Ref: 'AWS::AccountId' } } };
  expect(list).toEqual([expect.objectContaining({ Effect: 'Allow', Condition: ours })]);
  expect(JSON.stringify(list[0]?.Resource)).toMatch(/:secretsmanager:.*:secret:discord-ingestor\/staging\/\*"/);
  // The functions' calls to Secrets Manager go through the endpoint.
  const actions = statements(staging).flatMap(({ Action }) => Action);
  for (const action of actions.filter((each) => each.startsWith('secretsmanager:')))
    expect(list[0]?.Action).toContain(action);
  expect(JSON.stringify(list[0]?.Action)).not.toContain('*');
});

describe('choices', () => {
  it('an existing network is used by its ids, and none is created', () => {
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

  it('a token is read from an existing secret', () => {
    const { ofType, outputs } = synthesized('staging', { discordTokenSecretArn: secretArn('token') });
    expect(outputs.has('PutDiscordToken')).toBe(false);
    expect(JSON.stringify(ofType('AWS::ECS::TaskDefinition'))).toContain(secretArn('token'));
    // The stack's own secret stays: tasks that read it still run after the update of this stack.
    expect(ofType('AWS::SecretsManager::Secret').map(([id]) => id)).toContain('DiscordTokenValue');
  });

  it('readers of secrets with a customer managed key may decrypt, only through Secrets Manager', () => {
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

  it('the root file system is writable with ECS Exec, which needs that', () => {
    for (const execEnabled of [true, false]) {
      const { ofType, one } = synthesized('production', { task: { execEnabled } });
      const { ContainerDefinitions } = one('AWS::ECS::TaskDefinition').Properties;
      const InitProcessEnabled = { LinuxParameters: { InitProcessEnabled: true } };
      expect(ContainerDefinitions).toMatchObject([{ ReadonlyRootFilesystem: !execEnabled, ...InitProcessEnabled }]);
      expect(one('AWS::ECS::Service').Properties.EnableExecuteCommand).toBe(execEnabled);
      expect(JSON.stringify(ofType('AWS::IAM::Policy')).includes('ssmmessages:')).toBe(execEnabled);
    }
  });

  it('an e-mail address is subscribed to pages and notices, and a second one does not change the first', () => {
    const emails = (alarmEmail: string | string[]) =>
      synthesized('staging', { alarmEmail })
        .ofType('AWS::SNS::Subscription')
        .map(([id, { Properties }]) => [id, Properties.Protocol, Properties.Endpoint]);
    const one = emails('ops@example.com');
    const subscription = [expect.any(String), 'email', 'ops@example.com'];
    expect(one).toEqual([subscription, subscription]);
    // The owner of the address would have to confirm a changed subscription.
    const two = emails(['new@example.com', 'ops@example.com']);
    expect(two).toHaveLength(4);
    expect(two).toEqual(expect.arrayContaining(one));
  });

  it.each<[Choices, boolean]>([
    [{}, true],
    [{ egress: 'public-ip', natGateways: 2 }, true],
    [{ egress: 'public-ip', broker: { nodes: 1 }, ...inNetwork() }, true],
    [{ egress: 'public-ip' }, false],
  ])('%j: functions have egress as long as there may be NAT gateways: %s', (choices, out) => {
    const groups = synthesized('production', choices).ofType('AWS::EC2::SecurityGroup');
    const [, functions] = groups.find(([id]) => id.startsWith('NetworkFunctions')) ?? [];
    expect(JSON.stringify(functions?.Properties.SecurityGroupEgress ?? []).includes('"0.0.0.0/0"')).toBe(out);
  });

  it('named zones are used in the given order', () => {
    const network = { availabilityZones: ['eu-west-1c', 'eu-west-1a'] };
    const { ofType } = synthesized('production', { network, broker: { nodes: 1 } });
    const zones = ofType('AWS::EC2::Subnet').map(([, { Properties }]) => Properties.AvailabilityZone);
    expect([...new Set(zones)]).toEqual(network.availabilityZones);
  });

  it('the maximum of groups fits into a template, and twice into the event of an update', () => {
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

  it('an additional worker has its own rotated secret and output, and may read only its queue', () => {
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

  it('without rotation there is no schedule, but there is the function for a leaked login', () => {
    const { ofType, outputs } = synthesized('staging', { rotationDays: 0 });
    expect(ofType('AWS::SecretsManager::RotationSchedule')).toEqual([]);
    expect(ofType('AWS::Lambda::Permission')).toHaveLength(3);
    const rotate = expect.stringMatching(/^RotationRotate/);
    expect(outputs.get('LoginFunction')?.Value).toEqual({ 'Fn::GetAtt': [rotate, 'Arn'] });
  });
});
