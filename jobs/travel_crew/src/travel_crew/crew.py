"""The crew: a researcher and a planner, in turn."""

from crewai import Agent, Crew, Process, Task
from crewai.agents.agent_builder.base_agent import BaseAgent
from crewai.project import CrewBase, agent, crew, task

from travel_crew.model import chosen_model


@CrewBase
class TravelCrew:
    """Plans a trip from budget, interests, duration and age."""

    agents: list[BaseAgent]
    tasks: list[Task]

    agents_config = "config/agents.yaml"
    tasks_config = "config/tasks.yaml"

    @agent
    def researcher(self) -> Agent:
        return Agent(config=self.agents_config["researcher"], llm=chosen_model())

    @agent
    def planner(self) -> Agent:
        return Agent(config=self.agents_config["planner"], llm=chosen_model())

    @task
    def research_task(self) -> Task:
        return Task(config=self.tasks_config["research_task"])

    @task
    def planning_task(self) -> Task:
        return Task(config=self.tasks_config["planning_task"])

    @crew
    def crew(self) -> Crew:
        return Crew(agents=self.agents, tasks=self.tasks, process=Process.sequential)
