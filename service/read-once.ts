// An object whose fields are read when they are first asked for, and once. A field that cannot be read throws to those
// who ask for it, and to no other: one defect costs one section of a report.

export function readOnce<T extends object>(read: { readonly [Name in keyof T]: () => T[Name] }): T {
  const fields = {} as T;
  for (const name of Object.keys(read) as (keyof T)[]) {
    const get = () => {
      const value = read[name]();
      Object.defineProperty(fields, name, { enumerable: true, value });
      return value;
    };
    Object.defineProperty(fields, name, { configurable: true, enumerable: true, get });
  }
  return fields;
}
