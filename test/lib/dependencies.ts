// What the deployed service stack needs from the broker stack: what it imports, what that refers to, and the routes, associations
// and rules that subnets, networks and security groups need but do not refer to.
import type { Resource, Synthesized } from '../support/synthesized.ts';

export interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs?: Readonly<Record<string, { readonly Value: unknown; readonly Export?: { readonly Name: string } }>>;
}

/** By type: the property that refers to the resource to which this one belongs. */
const ATTACHED: Readonly<Record<string, string>> = {
  'AWS::EC2::Route': 'RouteTableId',
  'AWS::EC2::SubnetRouteTableAssociation': 'SubnetId',
  'AWS::EC2::VPCGatewayAttachment': 'VpcId',
  'AWS::EC2::SecurityGroupIngress': 'SourceSecurityGroupId',
  'AWS::EC2::SecurityGroupEgress': 'GroupId',
};

/** Names of exports that the template imports. */
export function imports(template: unknown): Set<string> {
  const names = [...JSON.stringify(template).matchAll(/\{"Fn::ImportValue":"([^"]+)"\}/g)].map(([, name = '']) => name);
  return new Set(names);
}

export function exportsOf(template: Template): Map<string, unknown> {
  return new Map(
    Object.values(template.Outputs ?? {}).flatMap(({ Export, Value }) => (Export ? [[Export.Name, Value]] : [])),
  );
}

/** Logical ids that a value refers to. */
export function references(value: unknown, { Resources }: Template): string[] {
  const text = JSON.stringify(value) ?? '';
  const ids = [...text.matchAll(/\{"Ref":"(\w+)"\}|\{"Fn::GetAtt":\["(\w+)"/g)].map(([, ref, att]) => ref ?? att ?? '');
  return [...new Set(ids)].filter((id) => Object.hasOwn(Resources, id));
}

export function dependenciesOf(service: unknown, broker: Template): Set<string> {
  const exported = exportsOf(broker);
  const needed = new Set<string>();
  const add = (id: string) => {
    // A broker keeps its configuration until it restarts, even when the resource changes.
    if (needed.has(id) || broker.Resources[id]?.Type === 'AWS::AmazonMQ::Configuration') return;
    needed.add(id);
    for (const other of references(broker.Resources[id]?.Properties, broker)) add(other);
    for (const [attached, { Type, Properties }] of Object.entries(broker.Resources)) {
      const property = ATTACHED[Type];
      if (property !== undefined && references(Properties?.[property], broker).includes(id)) add(attached);
    }
  };
  for (const name of imports(service)) {
    if (!exported.has(name)) throw new Error(`expected the export ${name} in the broker stack, got none`);
    for (const id of references(exported.get(name), broker)) add(id);
  }
  return needed;
}

export const templatesOf = ({ broker, ingestor }: Synthesized) => ({
  broker: broker.toJSON() as Template,
  service: ingestor.toJSON() as Template,
});
