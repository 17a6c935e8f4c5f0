"""`crewai run`: one trip, without batchcrew."""

from travel_crew.crew import TravelCrew


def run() -> None:
    wishes = {"budget": "1000 USD", "interests": "games, food", "duration": "3 days", "age": "35"}
    print(TravelCrew().crew().kickoff(inputs=wishes).raw)


if __name__ == "__main__":
    run()
