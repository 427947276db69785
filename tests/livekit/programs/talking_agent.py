"""An agent that answers one question and is in the middle of a long answer from then on."""

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.plugins import openai

server = AgentServer(initialize_process_timeout=60, num_idle_processes=0, port=0)


@server.rtc_session()
async def talk(ctx: JobContext) -> None:
    """Answer, and talk on."""
    session: AgentSession[None] = AgentSession(llm=openai.LLM(model="gpt-4o-mini"))
    await session.start(Agent(instructions="Answer in plain sentences."))
    await session.run(user_input="Answer in 11 tokens.")
    session.generate_reply(user_input="Tell me in 60000 tokens.")


if __name__ == "__main__":
    cli.run_app(server)
