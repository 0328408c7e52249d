// What a plan consists of, and what the record and the calls are made from.

import type { Binding, Exchange, Permissions, Policy, Queue, User, UserLimits } from './topology.ts';

export interface Step {
  readonly kind: 'create' | 'change' | 'remove';
  /** For people: 'queue interactions'. */
  readonly what: string;
  /** What is set, or what differs: 'message-ttl: 60000 → 900000'. Never a password. */
  readonly details: readonly string[];
  readonly target: Target;
}

export interface BindingTarget extends Binding {
  /** As the broker names it, for a removal. */
  readonly propertiesKey?: string;
}

export type UserPermissions = Permissions & { readonly user: string };

export type Target =
  | { readonly type: 'vhost' }
  | { readonly type: 'policy'; readonly policy: Policy }
  | { readonly type: 'exchange'; readonly exchange: Exchange }
  | { readonly type: 'queue'; readonly queue: Queue }
  /** One, or those of commands to one queue: up to one for each shard. */
  | { readonly type: 'bindings'; readonly bindings: readonly BindingTarget[] }
  /** Of the shard group that this lease queue was made for: the proof that it has no session. */
  | { readonly type: 'empty record'; readonly queue: string }
  | { readonly type: 'user'; readonly user: User }
  | { readonly type: 'permissions'; readonly permissions: UserPermissions }
  | { readonly type: 'limits'; readonly user: string; readonly limits: UserLimits };
