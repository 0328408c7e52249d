// What is in the templates of both environments, and what is not, each with its reason.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { STOP_TIMEOUT_SECONDS } from '../../service/contract.ts';
import { type Resource, type Synthesized, synthesized } from './synthesized.ts';

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
        'secure.management.http.headers.enabled = true',
        '',
      ].join('\n'),
    });
  });

  it('keeps the broker in subnets without a way to the internet', () => {
    const routes = of(environment).ofType('AWS::EC2::Route');
    expect(routes.filter(([id]) => id.includes('Broker'))).toEqual([]);
    expect(routes.length).toBe(environment === 'production' ? 6 : 3);
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
          /(Administrator|DiscordToken|IngestorLogin|WorkerLogin)/.exec(JSON.stringify(resource))?.[1] ?? '*';
        const reader = /(TopologyApply|RotationRotate|TaskRole)/.exec(where)?.[1] ?? where;
        readers.set(secret, [...(readers.get(secret) ?? []), reader].sort());
      }
    }
    expect(Object.fromEntries(readers)).toEqual({
      Administrator: ['RotationRotate', 'TopologyApply'],
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

  it('rotates ingestor and workers, not at once, and only when their users are there', () => {
    const schedules = of(environment).ofType('AWS::SecretsManager::RotationSchedule');
    expect(schedules.map(([, { Properties }]) => JSON.stringify(Properties.SecretId)).sort()).toEqual([
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
    expect(permissions).toHaveLength(2);
    for (const [id, { Properties }] of permissions) {
      // Nobody else's Secrets Manager, and for no other secret.
      expect(Properties, id).toMatchObject({
        Principal: 'secretsmanager.amazonaws.com',
        SourceAccount: { Ref: 'AWS::AccountId' },
        SourceArn: { Ref: expect.stringMatching(/^(Ingestor|Worker)Login/) },
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
    expect([...of(environment).outputs.keys()].filter((name) => !name.startsWith('PublishOutput')).sort()).toEqual([
      'AdministratorSecret',
      'AlarmTopic',
      'BrokerClientsGroup',
      'BrokerConsole',
      'BrokerEndpoint',
      'ClusterName',
      'DashboardLink',
      'HealthAlarm',
      'KeptByTopology',
      'LogGroup',
      'ManagementEndpoint',
      'PutDiscordToken',
      'ServiceName',
      'WorkerLoginSecret',
    ]);
  });
});

describe('what outlives a deployment', () => {
  it('production refuses to be destroyed, and keeps broker and secrets all the same', () => {
    const { ofType, folder } = of('production');
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    expect(manifest.artifacts['discord-ingestor-production-broker'].properties.terminationProtection).toBe(true);
    for (const type of ['AWS::AmazonMQ::Broker', 'AWS::AmazonMQ::Configuration', 'AWS::SecretsManager::Secret']) {
      for (const [id, resource] of ofType(type)) {
        expect(resource, id).toMatchObject({ DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' });
      }
    }
  });

  it('staging leaves nothing behind', () => {
    const { resources, folder } = of('staging');
    const kept = [...resources].filter(([, { DeletionPolicy }]) => DeletionPolicy?.startsWith('Retain'));
    expect(kept).toEqual([]);
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    expect(manifest.artifacts['discord-ingestor-staging-broker'].properties.terminationProtection).toBeFalsy();
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
      AdministratorSecretArn: arn,
      // It was there before and stays: staging takes its own things away again.
      OnDelete: 'remove',
    });
    const alarms = JSON.stringify(ofType('AWS::CloudWatch::Alarm'));
    expect(alarms).toContain('{"Name":"Broker","Value":"theirs"}');
  });

  it('a token that is somewhere already is used from there', () => {
    const { ofType, outputs } = synthesized('staging', { discordTokenSecretArn: arn });
    expect(ofType('AWS::SecretsManager::Secret').map(([id]) => id)).not.toContain('DiscordTokenValue');
    expect(outputs.has('PutDiscordToken')).toBe(false);
    expect(JSON.stringify(ofType('AWS::ECS::TaskDefinition'))).toContain(arn);
  });

  it('ECS Exec needs a writable root file system, and gets it', () => {
    const { one } = synthesized('staging', { task: { execEnabled: true } });
    const task = one('AWS::ECS::TaskDefinition').Properties;
    expect(task.ContainerDefinitions).toMatchObject([{ ReadonlyRootFilesystem: false }]);
    expect(one('AWS::ECS::Service').Properties.EnableExecuteCommand).toBe(true);
  });

  it('an e-mail address is subscribed to the alarms', () => {
    const { one } = synthesized('staging', { alarmEmail: 'ops@example.com' });
    expect(one('AWS::SNS::Subscription').Properties).toMatchObject({
      Protocol: 'email',
      Endpoint: 'ops@example.com',
    });
  });

  it('many shards are groups, each with a task and a lease queue', () => {
    const { one } = synthesized('staging', { shards: { count: 40, perTask: 16, standbys: 2 } });
    expect(one('AWS::ECS::Service').Properties.DesiredCount).toBe(5);
    const { Queues } = one('Custom::BrokerTopology').Properties.Topology as { Queues: object };
    expect(Object.keys(Queues).filter((name) => name.startsWith('ingestor.lease.'))).toHaveLength(3);
  });

  it('without rotation there is neither schedule nor function for it', () => {
    const { ofType } = synthesized('staging', { rotationDays: 0 });
    expect(ofType('AWS::SecretsManager::RotationSchedule')).toEqual([]);
    expect(ofType('AWS::Lambda::Function').filter(([id]) => id.includes('Rotat'))).toEqual([]);
  });
});
