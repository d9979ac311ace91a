"""What a run is: frozen, validated values, and the exception tree."""
