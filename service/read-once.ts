// An object whose fields are read when they are first asked for, and once. A field that cannot be read throws to those
// who ask for it, and to no other: so one defect costs one section of a report, not the whole.

/** Of a field that throws, the error is kept too: it is the same for everyone who asks. */
export function readOnce<T extends object>(read: { readonly [Name in keyof T]: () => T[Name] }): T {
  const fields = {} as T;
  for (const name of Object.keys(read) as (keyof T)[]) {
    let known: { readonly value: T[typeof name] } | { readonly error: unknown } | undefined;
    Object.defineProperty(fields, name, {
      enumerable: true,
      get: () => {
        known ??= attempt(read[name]);
        if ('error' in known) throw known.error;
        return known.value;
      },
    });
  }
  return fields;
}

function attempt<V>(read: () => V): { readonly value: V } | { readonly error: unknown } {
  try {
    return { value: read() };
  } catch (error) {
    return { error };
  }
}
