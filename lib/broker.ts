// Amazon MQ for RabbitMQ as one construct: endpoints and connections of a broker, new or existing. What Amazon MQ cannot
// change afterwards is fixed here: the name depends on the environment only, so that a replacement collides with the
// existing broker and fails before it does harm; the security group stays, and only its rules change.
// lib/topology/ makes its vhost, queues and users.
import { Aws, Fn } from 'aws-cdk-lib';
import { CfnBroker, CfnConfiguration } from 'aws-cdk-lib/aws-amazonmq';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { MAX_MESSAGE_BYTES } from '../service/contract/limits.ts';
import { brokerLimits, storageGb } from './broker-limits.ts';
import type { Network } from './network.ts';
import { removalPolicy } from './removal-policy.ts';
import { ADMINISTRATOR, AMQPS_PORT, administratorSecret, existingSecret } from './secrets.ts';
import type { Settings } from './settings.ts';
import { prefixOf } from './stack-identity.ts';

/** A broker that exists already, or a new one. */
export abstract class BrokerBase extends Construct implements ec2.IConnectable {
  /** Without scheme and port. */
  abstract readonly host: string;
  /** `username` and `password` of a user with the tag `administrator`. */
  abstract readonly administrator: ISecret;
  abstract readonly connections: ec2.Connections;

  get amqpsEndpoint(): string {
    return `amqps://${this.host}:${AMQPS_PORT}`;
  }

  /** Of the management API and the management page. */
  get managementEndpoint(): string {
    return `https://${this.host}`;
  }
}

/** Also the value of the dimension `Broker` of its metrics. */
export const brokerNameOf = ({ broker, environment }: Pick<Settings, 'environment' | 'broker'>): string =>
  broker.existing?.name ?? prefixOf(environment);

export class Broker extends BrokerBase {
  /** `b-…`: part of the names of its log groups. */
  readonly brokerId: string;
  readonly host: string;
  readonly administrator: ISecret;
  readonly connections: ec2.Connections;

  constructor(
    scope: Construct,
    id: string,
    { settings, network }: { readonly settings: Settings; readonly network: Network },
  ) {
    super(scope, id);
    const chosen = settings.broker;
    const brokerName = brokerNameOf(settings);
    const removal = removalPolicy(settings);
    this.administrator = administratorSecret(this, 'Administrator', settings);

    const security = new ec2.SecurityGroup(this, 'Access', {
      vpc: network.vpc,
      // Another description is another group, which Amazon MQ does not accept. A test freezes it.
      description: 'Discord ingestor: the broker',
      allowAllOutbound: false,
    });
    // AWS refuses to delete the group of a broker that is kept.
    security.applyRemovalPolicy(removal);
    this.connections = new ec2.Connections({ securityGroups: [security], defaultPort: ec2.Port.tcp(AMQPS_PORT) });

    const engine = { engineType: 'RABBITMQ', engineVersion: chosen.engineVersion };
    const configuration = new CfnConfiguration(this, 'Configuration', {
      ...engine,
      // Another version is another configuration, which needs another name while both exist. So does another stack, because
      // production's configuration outlives its stack.
      name: `${brokerName}-${chosen.engineVersion.replace('.', '-')}-${STACK_SUFFIX}`,
      description: 'Discord ingestor',
      data: Fn.base64(brokerConfiguration(settings)),
    });

    const { day, time, timeZone } = chosen.maintenanceWindow;
    const storageSize = storageGb(chosen);
    const broker = new CfnBroker(this, 'Broker', {
      ...engine,
      brokerName,
      deploymentMode: chosen.nodes === 3 ? 'CLUSTER_MULTI_AZ' : 'SINGLE_INSTANCE',
      hostInstanceType: chosen.size,
      ...(storageSize !== undefined && { storageSize }),
      publiclyAccessible: false,
      subnetIds: network.vpc.selectSubnets(network.brokerSubnets).subnetIds,
      securityGroups: [security.securityGroupId],
      // Amazon's own key: costs nothing, and a key cannot be changed afterwards.
      encryptionOptions: { useAwsOwnedKey: true },
      // Required by Amazon MQ for RabbitMQ: patches come in the maintenance window.
      autoMinorVersionUpgrade: true,
      maintenanceWindowStartTime: { dayOfWeek: day, timeOfDay: time, timeZone },
      configuration: { id: configuration.ref, revision: configuration.attrRevision },
      logs: { general: true },
      users: [{ username: ADMINISTRATOR, password: this.administrator.secretValueFromJson('password').unsafeUnwrap() }],
    });
    broker.applyRemovalPolicy(removal);
    configuration.applyRemovalPolicy(removal);

    this.brokerId = broker.ref;
    // The first endpoint is `amqps://host:5671`.
    const address = Fn.select(1, Fn.split('//', Fn.select(0, broker.attrAmqpEndpoints)));
    this.host = Fn.select(0, Fn.split(':', address));
  }
}

/** A broker that another stack or a person created. */
export class ExistingBroker extends BrokerBase {
  readonly host: string;
  readonly administrator: ISecret;
  readonly connections: ec2.Connections;

  constructor(scope: Construct, id: string, existing: NonNullable<Settings['broker']['existing']>) {
    super(scope, id);
    this.host = existing.host;
    const { administratorSecretArn, administratorKeyArn } = existing;
    this.administrator = existingSecret(this, 'Administrator', administratorSecretArn, administratorKeyArn);
    const security = ec2.SecurityGroup.fromSecurityGroupId(this, 'Access', existing.securityGroupId);
    this.connections = new ec2.Connections({ securityGroups: [security], defaultPort: ec2.Port.tcp(AMQPS_PORT) });
  }
}

/** The first eight characters of the id that CloudFormation gives each stack. */
const STACK_SUFFIX = Fn.select(0, Fn.split('-', Fn.select(2, Fn.split('/', Aws.STACK_ID))));

// Only what differs from Amazon MQ's defaults. Takes effect at the next restart: `aws mq reboot-broker`, or the window.
const brokerConfiguration = (settings: Settings): string =>
  [
    // Amazon MQ's default is 512 KiB.
    `max_message_size = ${MAX_MESSAGE_BYTES}`,
    // The default on Amazon MQ is 10: a worker that reads many queues, or with many readers, needs more.
    'consumer_max_per_channel = 100',
    // So many that the workers' connections leave room for the ingestor's. An alarm watches the number.
    `connection_max = ${brokerLimits(settings.broker)?.connectionsPerNode}`,
    // Headers that keep the management console out of frames and caches.
    'secure.management.http.headers.enabled = true',
    '',
  ].join('\n');
