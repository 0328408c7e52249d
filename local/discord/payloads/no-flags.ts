// A bit set with no bit set: discord-api-types names the bits of each of its sets, never their absence.

export const NO_FLAGS = 0 as never;
