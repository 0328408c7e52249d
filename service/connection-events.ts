// What is asked of a connection that opens again after each loss, by those that use channels on it. `Model` is what
// they open channels with. Satisfied by `BrokerConnection`.

export interface ConnectionEvents<Model> {
  on(event: 'open', listener: (model: Model) => void): unknown;
  on(event: 'lost', listener: (cause: unknown) => void): unknown;
}
