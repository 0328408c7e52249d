// What must survive a redeploy: network, broker, secrets, topology and the rotation of logins.
import { CfnOutput, Fn, Stack, type StackProps } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { USERS, VHOST } from '../service/contract/names.ts';
import { Broker, consoleUrl, ExistingBroker, type IBroker } from './broker.ts';
import { brokerLimits } from './broker-limits.ts';
import { BrokerLogs } from './broker-logs.ts';
import { Network } from './network.ts';
import { ReleaseAlarms } from './release-alarms.ts';
import { removalPolicy } from './removal-policy.ts';
import { LoginRotation } from './rotation/login-rotation.ts';
import { LOGIN_FUNCTION_OUTPUT } from './rotation/rotation.ts';
import { AMQPS_PORT, brokerLogin, discordTokenSecret, secretName, secretOfYours } from './secrets.ts';
import type { Settings } from './settings.ts';
import { BrokerTopology } from './topology/broker-topology.ts';
import { discordTopology } from './topology/topology.ts';

export interface BrokerStackProps extends StackProps {
  readonly settings: Settings;
}

export class BrokerStack extends Stack {
  readonly network: Network;
  readonly broker: IBroker;
  /** Whose members may open AMQPS connections: the ingestor and the workers. */
  readonly brokerClients: ec2.SecurityGroup;
  readonly discordToken: ISecret;
  readonly ingestorLogin: ISecret;
  private readonly settings: Settings;

  constructor(scope: Construct, id: string, props: BrokerStackProps) {
    super(scope, id, props);
    const { settings } = props;
    const { environment } = settings;
    this.settings = settings;

    this.network = new Network(this, 'Network', { settings });
    const { vpc } = this.network;
    this.broker = settings.broker.existing
      ? new ExistingBroker(this, 'Broker', settings.broker.existing)
      : new Broker(this, 'Broker', { settings, vpc, subnets: this.network.brokerSubnets });
    if (this.broker instanceof Broker) new BrokerLogs(this, 'BrokerLogs', { brokerId: this.broker.brokerId, settings });

    this.brokerClients = new ec2.SecurityGroup(this, 'Clients', {
      vpc,
      // Another description is another group. A test freezes it.
      description: 'Clients of the broker: the ingestor and the workers',
      allowAllOutbound: false,
    });
    // The only ways in. The functions' logins on 5671 are the test of a rotated password.
    this.broker.connections.allowFrom(this.brokerClients, ec2.Port.tcp(AMQPS_PORT), 'AMQPS of ingestor and workers');
    this.broker.connections.allowFrom(this.network.functions, ec2.Port.tcp(443), 'Management API of the functions');
    this.broker.connections.allowFrom(this.network.functions, ec2.Port.tcp(AMQPS_PORT), 'Test of a rotated login');

    const secrets = { environment, removalPolicy: removalPolicy(settings) };
    // Always there ($0.40 a month), also beside a secret of yours: the tasks that read it go after this stack's update.
    const ownToken = discordTokenSecret(this, 'DiscordToken', secrets);
    const { discordTokenSecretArn, discordTokenKeyArn } = settings;
    this.discordToken = discordTokenSecretArn
      ? secretOfYours(this, 'YourDiscordToken', discordTokenSecretArn, discordTokenKeyArn)
      : ownToken;
    const login = { ...secrets, host: this.broker.host, vhost: VHOST };
    this.ingestorLogin = brokerLogin(this, 'IngestorLogin', {
      ...login,
      description: 'The ingestor at the broker: publishes events and holds leases',
      username: USERS.ingestor,
    });
    const deadLettersLogin = brokerLogin(this, 'DeadLettersLogin', {
      ...login,
      description: 'Whoever looks after the dead letters: reads them and publishes them again',
      username: USERS.deadLetters,
    });
    const workerLogin = brokerLogin(this, 'WorkerLogin', {
      ...login,
      description: 'The workers at the broker: consume the event queues',
      username: USERS.worker,
    });

    const functions = {
      vpc,
      subnets: this.network.functionSubnets,
      securityGroup: this.network.functions,
      environment: this.network.functionEnvironment,
      managementEndpoint: this.broker.managementEndpoint,
      administrator: this.broker.administrator,
    };
    const logins = {
      [USERS.ingestor]: this.ingestorLogin,
      [USERS.worker]: workerLogin,
      [USERS.deadLetters]: deadLettersLogin,
    };
    // Of a broker of yours, the limits are yours as well.
    const connectionLimit = brokerLimits(settings)?.connectionsPerNode;
    const topology = new BrokerTopology(this, 'Topology', {
      ...functions,
      topology: discordTopology({
        shardGroups: settings.groups,
        tasks: settings.tasks,
        ...(connectionLimit !== undefined && { connectionLimit }),
      }),
      logins,
      revision: settings.topologyRevision,
      // The rules of security groups are resources of their own, which nobody else waits for.
      after: [this.network.functionsReady, ...this.broker.connections.securityGroups],
    });
    const rotation = new LoginRotation(this, 'Rotation', {
      ...functions,
      logins,
      everyDays: settings.rotationDays,
      after: [topology.resource],
    });

    // Here, long before the service: see there.
    new ReleaseAlarms(this, 'ReleaseAlarms', { settings });

    const outputs: Record<string, [value: string, description: string]> = {
      BrokerClientsGroup: [
        this.brokerClients.securityGroupId,
        'Security group for workers: its members reach the broker',
      ],
      BrokerEndpoint: [this.broker.amqpsEndpoint, 'Where the broker takes AMQP connections, by TLS'],
      [LOGIN_FUNCTION_OUTPUT]: [rotation.functionArn, 'Function that rotates and revokes logins: for npm run logins'],
      WorkerLoginSecret: [workerLogin.secretName, 'Secret with the address and the login for workers'],
      DeadLettersLoginSecret: [
        deadLettersLogin.secretName,
        'Secret with the address and the login for the dead letters',
      ],
      AdministratorSecret: [this.broker.administrator.secretName, "Secret with the broker's administrator"],
      KeptByTopology: [
        topology.kept,
        'What is not wanted any more and stays, with the commands that remove it by hand',
      ],
      TopologyWarning: [topology.warning, 'Why the last rollback did without the broker'],
      ManagementEndpoint: [this.broker.managementEndpoint, 'Management page of the broker, from inside the VPC'],
    };
    if (this.broker instanceof Broker) {
      outputs.BrokerConsole = [consoleUrl(this, this.broker.brokerId), 'The broker in the AWS console'];
    }
    if (!settings.discordTokenSecretArn) {
      const put = `aws secretsmanager put-secret-value --region ${this.region} --secret-id`;
      outputs.PutDiscordToken = [
        `${put} ${secretName(environment, 'discord-token')} --secret-string file://token.txt`,
        "Puts the bot's token in place; the service waits for it, and notices a new one",
      ];
    }
    for (const [name, [value, description]] of Object.entries(outputs))
      new CfnOutput(this, name, { value, description });
    this.exportForTheService(ownToken);
  }

  /**
   * What the service stack takes, or took: exported whether it does so now or not. Otherwise the CDK would leave out the
   * export with its last reader, and CloudFormation, which updates this stack first, would refuse: it is still read.
   */
  private exportForTheService(ownToken: ISecret): void {
    const { vpc } = this.network;
    const made = vpc instanceof ec2.Vpc ? [vpc.vpcId, ...subnetIds(vpc)] : [];
    for (const value of [
      ...made,
      this.brokerClients.securityGroupId,
      ownToken.secretArn,
      this.ingestorLogin.secretArn,
    ]) {
      this.exportValue(value);
    }
  }

  /** Never looked up: the template is the same with and without credentials. */
  override get availabilityZones(): string[] {
    const { availabilityZones, zones = 3 } = this.settings?.network ?? {};
    return availabilityZones ?? Array.from({ length: zones }, (_, index) => Fn.select(index, Fn.getAzs()));
  }
}

const subnetIds = ({ publicSubnets, privateSubnets }: ec2.Vpc): string[] =>
  [...publicSubnets, ...privateSubnets].map(({ subnetId }) => subnetId);
