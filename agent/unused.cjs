// What dockerode needs for ssh:// hosts and BuildKit sessions, which the agent has neither of (tsup.config.ts).
module.exports = {};
