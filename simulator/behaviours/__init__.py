"""What each capability does in one step of the simulation."""
