// What must survive a redeploy: network, broker, secrets, topology and the rotation of logins.
import { CfnOutput, Fn, Stack, type StackProps } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { USERS, VHOST } from '../service/contract.ts';
import { Broker, consoleUrl, ExistingBroker, type IBroker } from './broker.ts';
import { BrokerLogs } from './broker-logs.ts';
import { Network } from './network.ts';
import { ReleaseAlarms } from './release-alarms.ts';
import { LoginRotation } from './rotation/login-rotation.ts';
import { AMQPS_PORT, brokerLogin, discordTokenSecret, secretName } from './secrets.ts';
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
      description: 'Clients of the broker: the ingestor and the workers',
      allowAllOutbound: false,
    });
    // The only ways in. The functions' logins on 5671 are the test of a rotated password.
    this.broker.connections.allowFrom(this.brokerClients, ec2.Port.tcp(AMQPS_PORT), 'AMQPS of ingestor and workers');
    this.broker.connections.allowFrom(this.network.functions, ec2.Port.tcp(443), 'Management API of the functions');
    this.broker.connections.allowFrom(this.network.functions, ec2.Port.tcp(AMQPS_PORT), 'Test of a rotated login');

    this.discordToken = settings.discordTokenSecretArn
      ? Secret.fromSecretCompleteArn(this, 'DiscordToken', settings.discordTokenSecretArn)
      : discordTokenSecret(this, 'DiscordToken', { environment });
    const login = { environment, host: this.broker.host, vhost: VHOST };
    this.ingestorLogin = brokerLogin(this, 'IngestorLogin', {
      ...login,
      name: 'broker-ingestor',
      description: 'The ingestor at the broker: publishes events and holds leases',
      username: USERS.ingestor,
    });
    const workerLogin = brokerLogin(this, 'WorkerLogin', {
      ...login,
      name: 'broker-worker',
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
    const logins = { [USERS.ingestor]: this.ingestorLogin, [USERS.worker]: workerLogin };
    const topology = new BrokerTopology(this, 'Topology', {
      ...functions,
      topology: discordTopology({ shardGroups: settings.groups }),
      logins,
      revision: settings.topologyRevision,
      // A broker of this stack goes with all it has; of somebody else's, staging cleans up what it made.
      onDelete: settings.broker.existing && environment === 'staging' ? 'remove' : 'keep',
      // The rules of security groups are resources of their own, which nobody else waits for.
      after: [this.network.functionsReady, ...this.broker.connections.securityGroups],
    });
    if (settings.rotationDays > 0) {
      new LoginRotation(this, 'Rotation', {
        ...functions,
        logins,
        everyDays: settings.rotationDays,
        after: [topology.resource],
      });
    }

    // Here, long before the service: see there.
    new ReleaseAlarms(this, 'ReleaseAlarms', { settings });

    const outputs: Record<string, [value: string, description: string]> = {
      BrokerClientsGroup: [
        this.brokerClients.securityGroupId,
        'Security group for workers: its members reach the broker',
      ],
      BrokerEndpoint: [this.broker.amqpsEndpoint, 'Where the broker takes AMQP connections, by TLS'],
      WorkerLoginSecret: [workerLogin.secretName, 'Secret with the address and the login for workers'],
      AdministratorSecret: [this.broker.administrator.secretName, "Secret with the broker's administrator"],
      KeptByTopology: [
        topology.kept,
        'Queues and more that are not wanted any more, and were kept because of what they hold',
      ],
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
  }

  /** Always three, and never looked up: the template is the same with and without credentials. */
  override get availabilityZones(): string[] {
    return this.settings?.network.availabilityZones ?? [0, 1, 2].map((index) => Fn.select(index, Fn.getAzs()));
  }
}
