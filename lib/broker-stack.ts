// What must survive a redeploy: network, broker, secrets, topology and the rotation of logins.
import { CfnOutput, Fn, Stack, type StackProps } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { USERS, VHOST } from '../service/contract/names.ts';
import { Broker, type BrokerBase, ExistingBroker } from './broker.ts';
import { brokerLimits } from './broker-limits.ts';
import { BrokerLogs } from './broker-logs.ts';
import { Network } from './network.ts';
import { ReleaseAlarms } from './release-alarms.ts';
import { LoginRotation } from './rotation/login-rotation.ts';
import { LOGIN_FUNCTION_OUTPUT } from './rotation/rotation.ts';
import { AMQPS_PORT, brokerLogin, discordTokenSecret, existingSecret, secretName } from './secrets.ts';
import type { Settings } from './settings.ts';
import { BrokerTopology } from './topology/broker-topology.ts';
import { discordTopology } from './topology/topology.ts';

export class BrokerStack extends Stack {
  readonly network: Network;
  readonly broker: BrokerBase;
  /** Whose members may open AMQPS connections: the ingestor and the workers. */
  readonly brokerClients: ec2.SecurityGroup;
  readonly discordToken: ISecret;
  readonly ingestorLogin: ISecret;
  private readonly settings: Settings;

  constructor(scope: Construct, id: string, props: StackProps & { readonly settings: Settings }) {
    super(scope, id, props);
    const { settings } = props;
    const { environment } = settings;
    this.settings = settings;

    this.network = new Network(this, 'Network', { settings });
    const { vpc } = this.network;
    this.broker = settings.broker.existing
      ? new ExistingBroker(this, 'Broker', settings.broker.existing)
      : new Broker(this, 'Broker', { settings, network: this.network });
    if (this.broker instanceof Broker) new BrokerLogs(this, 'BrokerLogs', { brokerId: this.broker.brokerId, settings });

    this.brokerClients = new ec2.SecurityGroup(this, 'Clients', {
      vpc,
      // Another description is another group: a test freezes it.
      description: 'Clients of the broker: the ingestor and the workers',
      allowAllOutbound: false,
    });
    // The only ways in.
    const { connections } = this.broker;
    connections.allowFrom(this.brokerClients, ec2.Port.tcp(AMQPS_PORT), 'AMQPS of ingestor and workers');
    connections.allowFrom(this.network.functions, ec2.Port.tcp(443), 'Management API of the functions');
    connections.allowFrom(this.network.functions, ec2.Port.tcp(AMQPS_PORT), 'Test of a rotated login');

    // Also with a secret of your own ($0.40 a month): the tasks that read this one end after this stack's update.
    const ownToken = discordTokenSecret(this, 'DiscordToken', settings);
    const { discordTokenSecretArn, discordTokenKeyArn } = settings;
    this.discordToken = discordTokenSecretArn
      ? existingSecret(this, 'YourDiscordToken', discordTokenSecretArn, discordTokenKeyArn)
      : ownToken;
    const login = (id: string, username: string, description: string) =>
      brokerLogin(this, id, { settings, host: this.broker.host, vhost: VHOST, username, description });
    const { ingestor, worker, deadLetters } = USERS;
    const further = Object.keys(settings.workers).map((name) => {
      const id = `${name.charAt(0).toUpperCase()}${name.slice(1)}Login`;
      return { name, id, secret: login(id, name, `Worker user ${name} at the broker: consumes its queues`) };
    });
    const logins = {
      [ingestor]: login('IngestorLogin', ingestor, 'The ingestor at the broker: publishes events and holds leases'),
      [worker]: login('WorkerLogin', worker, 'The workers at the broker: consume the event queues'),
      [deadLetters]: login(
        'DeadLettersLogin',
        deadLetters,
        'Whoever looks after the dead letters: reads them and publishes them again',
      ),
      ...Object.fromEntries(further.map(({ name, secret }) => [name, secret])),
    };
    this.ingestorLogin = logins[ingestor];

    const functions = {
      vpc,
      subnets: this.network.functionSubnets,
      securityGroup: this.network.functions,
      environment: this.network.functionEnvironment,
      managementEndpoint: this.broker.managementEndpoint,
      administrator: this.broker.administrator,
    };
    // The limits of an existing broker are unknown.
    const connectionLimit = brokerLimits(settings.broker)?.connectionsPerNode;
    const topology = new BrokerTopology(this, 'Topology', {
      ...functions,
      topology: discordTopology({
        shards: settings.shards,
        tasks: settings.tasks,
        limits: settings.limits,
        queues: settings.queues,
        workers: settings.workers,
        ...(connectionLimit !== undefined && { connectionLimit }),
      }),
      logins,
      revision: settings.topologyRevision,
      // The rules of security groups are separate resources, which CloudFormation does not wait for by itself.
      after: [this.network.functionsReady, ...connections.securityGroups],
    });
    const rotation = new LoginRotation(this, 'Rotation', {
      ...functions,
      logins,
      everyDays: settings.rotationDays,
      after: [topology.resource],
    });

    // Minutes before the service: the reason is in release-alarms.ts.
    new ReleaseAlarms(this, 'ReleaseAlarms', { settings });

    const outputs: Record<string, readonly [value: string, description: string]> = {
      BrokerClientsGroup: [
        this.brokerClients.securityGroupId,
        'Security group for workers: its members reach the broker',
      ],
      BrokerEndpoint: [this.broker.amqpsEndpoint, 'Where the broker takes AMQP connections, by TLS'],
      [LOGIN_FUNCTION_OUTPUT]: [rotation.functionArn, 'Function that rotates and revokes logins: for npm run logins'],
      WorkerLoginSecret: [logins[worker].secretName, 'Secret with the address and the login for workers'],
      DeadLettersLoginSecret: [
        logins[deadLetters].secretName,
        'Secret with the address and the login for the dead letters',
      ],
      ...Object.fromEntries(
        further.map(({ name, id, secret }) => [
          `${id}Secret`,
          [secret.secretName, `Secret with the address and the login of worker ${name}`] as const,
        ]),
      ),
      AdministratorSecret: [this.broker.administrator.secretName, "Secret with the broker's administrator"],
      KeptByTopology: [topology.kept, 'What is no longer wanted and stays, with the commands that remove it by hand'],
      TopologyWarning: [topology.warning, 'Why the last rollback did not use the broker'],
      ManagementEndpoint: [this.broker.managementEndpoint, 'Management page of the broker, from inside the VPC'],
    };
    const { region } = this;
    if (this.broker instanceof Broker) {
      const page = `https://${region}.console.aws.amazon.com/amazon-mq/home?region=${region}#/brokers/details`;
      outputs.BrokerConsole = [`${page}?id=${this.broker.brokerId}`, 'The broker in the AWS console'];
    }
    if (!discordTokenSecretArn) {
      const secret = secretName(environment, 'discord-token');
      outputs.PutDiscordToken = [
        `aws secretsmanager put-secret-value --region ${region} --secret-id ${secret} --secret-string file://token.txt`,
        "Stores the bot's token; the service waits for it, and reads a new one by itself",
      ];
    }
    for (const [name, [value, description]] of Object.entries(outputs)) {
      new CfnOutput(this, name, { value, description });
    }
    this.exportForTheService(ownToken);
  }

  /**
   * All that the service stack imports with any settings, exported always. Otherwise the CDK drops an export with its last
   * import, and CloudFormation, which updates this stack first, refuses: the deployed service still imports it.
   */
  private exportForTheService(ownToken: ISecret): void {
    const { vpc } = this.network;
    const subnets = vpc instanceof ec2.Vpc ? [...vpc.publicSubnets, ...vpc.privateSubnets] : [];
    const values = [
      ...(vpc instanceof ec2.Vpc ? [vpc.vpcId] : []),
      ...subnets.map(({ subnetId }) => subnetId),
      this.brokerClients.securityGroupId,
      ownToken.secretArn,
      this.ingestorLogin.secretArn,
    ];
    for (const value of values) this.exportValue(value);
  }

  /** Never looked up: the template is the same with and without credentials. */
  override get availabilityZones(): string[] {
    const { availabilityZones, zones = 3 } = this.settings?.network ?? {};
    return availabilityZones ?? Array.from({ length: zones }, (_, index) => Fn.select(index, Fn.getAzs()));
  }
}
