"""The same trip as a flow: the wishes are tidied by plain code, then the crew plans."""

from crewai.flow.flow import Flow, listen, start
from pydantic import BaseModel

from travel_crew.crew import TravelCrew


class Wishes(BaseModel):
    """What the flow is kicked off with."""

    budget: str = ""
    interests: str = ""
    duration: str = "3 days"
    age: str = ""


class TravelFlow(Flow[Wishes]):
    """Tidies the wishes, has them planned, and puts a title above the plan."""

    @start()
    def tidy(self) -> dict[str, str]:
        wishes = self.state.model_dump(include=set(Wishes.model_fields))
        return {name: " ".join(str(value).split()) for name, value in wishes.items()}

    @listen(tidy)
    def plan(self, wishes: dict[str, str]) -> str:
        return str(TravelCrew().crew().kickoff(inputs=wishes).raw)

    @listen(plan)
    def entitle(self, plan: str) -> str:
        return f"A trip of {self.state.duration} for {self.state.budget}\n{plan}"
