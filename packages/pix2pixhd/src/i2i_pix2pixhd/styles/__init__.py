"""Styles of objects: found in real images, clustered by class, chosen for scenes, named in files."""
