"""A made-up district of full size: areas with outlines, a base map, 30,000 devices, and those who help."""

from simulators.city.making import City, make

__all__ = ["City", "make"]
