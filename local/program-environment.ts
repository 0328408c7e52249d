// What a program that is started here gets of our own environment: the path, and Node's cache of compiled modules, which
// halves its start. Nothing else, so that it cannot depend on this machine's variables.

const { PATH = '', NODE_COMPILE_CACHE } = process.env;

export const PROGRAM_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH,
  ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
};
