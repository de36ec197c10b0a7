"""Plots of training curves, and pictures and films of reconstructions."""
